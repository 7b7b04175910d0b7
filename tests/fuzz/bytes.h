#ifndef EDGEPOSE_TESTS_FUZZ_BYTES_H_
#define EDGEPOSE_TESTS_FUZZ_BYTES_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace edgepose::fuzz {

// Takes numbers from the fuzzer's bytes; zeros follow the last one.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  template <typename T>
  T take() {
    T value{};
    const size_t count = std::min(sizeof(T), left_);
    std::memcpy(&value, data_, count);
    data_ += count;
    left_ -= count;
    return value;
  }

  // 0..limit - 1
  int below(int limit) { return static_cast<int>(take<uint16_t>()) % limit; }
  bool flag() { return (take<uint8_t>() & 1) != 0; }

 private:
  const uint8_t* data_;
  size_t left_;
};

// Ends the program, which is what libFuzzer takes for a finding.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace edgepose::fuzz

#endif  // EDGEPOSE_TESTS_FUZZ_BYTES_H_
