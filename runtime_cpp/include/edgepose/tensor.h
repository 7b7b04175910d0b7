#ifndef EDGEPOSE_TENSOR_H_
#define EDGEPOSE_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "edgepose/status.h"

namespace edgepose {

// A named input or output. dims[0] is the batch; -1 there means any. tensor is the backend's own
// name of it.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> dims;
  std::string tensor;
};

// Contiguous float32 data with a shape: either owned (resize) or borrowed (borrow). An owned tensor
// keeps its memory when it shrinks, so a steady state allocates nothing.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  // Makes the tensor own at least the elements of dims; the contents are unspecified afterwards.
  void resize(const std::vector<int64_t>& dims);
  // Points at memory that the caller keeps alive.
  void borrow(float* data, const std::vector<int64_t>& dims);

  float* data() { return data_; }
  const float* data() const { return data_; }
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t dim(size_t i) const { return dims_[i]; }
  int64_t count() const;

 private:
  std::vector<float> storage_;
  std::vector<int64_t> dims_;
  float* data_ = nullptr;
};

}  // namespace edgepose

#endif  // EDGEPOSE_TENSOR_H_
