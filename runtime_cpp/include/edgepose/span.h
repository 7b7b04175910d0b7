#ifndef EDGEPOSE_SPAN_H_
#define EDGEPOSE_SPAN_H_

#include <cstddef>
#include <vector>

namespace edgepose {

// A borrowed, contiguous range. C++17 has no std::span.
template <typename T>
class Span {
 public:
  Span() = default;
  Span(T* data, size_t length) : data_(data), length_(length) {}
  template <typename U>
  Span(std::vector<U>& v)
      : data_(v.data()), length_(v.size()) {}  // NOLINT(google-explicit-constructor)
  template <typename U>
  Span(const std::vector<U>& v)
      : data_(v.data()), length_(v.size()) {}  // NOLINT(google-explicit-constructor)

  T* data() const { return data_; }
  size_t size() const { return length_; }
  bool empty() const { return length_ == 0; }
  T& operator[](size_t i) const { return data_[i]; }
  T* begin() const { return data_; }
  T* end() const { return data_ + length_; }

 private:
  T* data_ = nullptr;
  size_t length_ = 0;
};

}  // namespace edgepose

#endif  // EDGEPOSE_SPAN_H_
