#ifndef EDGEPOSE_SHA256_H_
#define EDGEPOSE_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace edgepose {

// SHA-256 (FIPS 180-4), streamed. Uses the processor's SHA instructions where they exist.
class Sha256 {
 public:
  // kScalar is the portable twin, which tests compare with the fast one.
  enum class Path { kFastest, kScalar };
  explicit Sha256(Path path = Path::kFastest);

  void update(const void* data, size_t bytes);
  // Returns the 64 lower-case hex digits. The object is used up afterwards.
  std::string hex_digest();

 private:
  using Compress = void (*)(uint32_t* state, const uint8_t* blocks, size_t count);

  Compress compress_;
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_;
  size_t pending_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

std::string sha256_hex(const void* data, size_t bytes);

}  // namespace edgepose

#endif  // EDGEPOSE_SHA256_H_
