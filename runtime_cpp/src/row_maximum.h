#ifndef EDGEPOSE_SRC_ROW_MAXIMUM_H_
#define EDGEPOSE_SRC_ROW_MAXIMUM_H_

namespace edgepose {

// The first maximum of a row. Where a value is not finite, finite is false and the others mean
// nothing.
struct RowMaximum {
  int index = 0;
  float value = 0;
  bool finite = true;
};

RowMaximum row_maximum(const float* row, int length);

// The same without vector instructions; tests compare the two.
RowMaximum row_maximum_scalar(const float* row, int length);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_ROW_MAXIMUM_H_
