#include "edgepose/tensor.h"

#include <utility>

namespace edgepose {
namespace {

int64_t product(const std::vector<int64_t>& dims) {
  int64_t count = 1;
  for (int64_t d : dims) count *= d;
  return count;
}

}  // namespace

Tensor::Tensor(Tensor&& other) noexcept
    : storage_(std::move(other.storage_)),
      dims_(std::move(other.dims_)),
      data_(std::exchange(other.data_, nullptr)) {
  other.storage_.clear();
  other.dims_.clear();
}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  if (this != &other) {
    storage_ = std::move(other.storage_);
    dims_ = std::move(other.dims_);
    data_ = std::exchange(other.data_, nullptr);
    other.storage_.clear();
    other.dims_.clear();
  }
  return *this;
}

void Tensor::resize(const std::vector<int64_t>& dims) {
  const size_t count = static_cast<size_t>(product(dims));
  if (storage_.size() < count) storage_.resize(count);
  dims_ = dims;
  data_ = storage_.data();
}

void Tensor::borrow(float* data, const std::vector<int64_t>& dims) {
  dims_ = dims;
  data_ = data;
}

int64_t Tensor::count() const { return data_ == nullptr && dims_.empty() ? 0 : product(dims_); }

}  // namespace edgepose
