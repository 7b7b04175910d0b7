#ifndef EDGEPOSE_SRC_ENGINES_RKNN_LAYOUT_H_
#define EDGEPOSE_SRC_ENGINES_RKNN_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "engines/rknn_api.h"

namespace edgepose::rknn {

// One item's tensor as the bundle has it, channels first; lower ranks have height or width 1.
struct Shape {
  int64_t channels = 1;
  int64_t height = 1;
  int64_t width = 1;
};

// From dims with the batch first; false for more than four of them.
bool shape_of(const std::vector<int64_t>& dims, Shape* shape);

// Whether the NPU's own tensor can hold one item of this shape in its buffer, with a type,
// a layout and a quantisation that pack and unpack know.
bool is_known(const TensorAttr& attr, const Shape& shape);

// Bytes of the buffer that an is_known tensor needs.
uint64_t buffer_bytes(const TensorAttr& attr);

// Writes float32 channels-first data into the NPU's own type and layout, and back. NaN becomes the
// zero point where the type is an integer.
void pack(const float* source, const Shape& shape, const TensorAttr& attr, void* target);
void unpack(const void* source, const Shape& shape, const TensorAttr& attr, float* target);

uint16_t to_half(float value);
float from_half(uint16_t bits);

}  // namespace edgepose::rknn

#endif  // EDGEPOSE_SRC_ENGINES_RKNN_LAYOUT_H_
