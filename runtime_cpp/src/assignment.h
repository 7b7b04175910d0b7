#ifndef EDGEPOSE_SRC_ASSIGNMENT_H_
#define EDGEPOSE_SRC_ASSIGNMENT_H_

#include <vector>

#include "edgepose/span.h"

namespace edgepose {

// Pairs rows with columns so that the sum of gains is the largest one. The memory is reused.
class Assignment {
 public:
  // gains: rows x columns, none negative. (*column_of_row)[r] is -1 where no gain above 0 is left
  // for row r.
  void solve(size_t rows, size_t columns, Span<const float> gains, std::vector<int>* column_of_row);

 private:
  std::vector<double> row_price_, column_price_, slack_;
  std::vector<size_t> row_of_column_, previous_;
  std::vector<char> visited_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_ASSIGNMENT_H_
