#ifndef EDGEPOSE_SRC_SHA256_COMPRESS_H_
#define EDGEPOSE_SRC_SHA256_COMPRESS_H_

#include <cstddef>
#include <cstdint>

namespace edgepose {

// Mixes `count` blocks of 64 bytes into the eight words of state.
using Sha256Compress = void (*)(uint32_t* state, const uint8_t* blocks, size_t count);

extern const uint32_t kSha256Constants[64];

void sha256_compress_scalar(uint32_t* state, const uint8_t* blocks, size_t count);

// The version with SHA instructions, or null where the processor or the build has none.
Sha256Compress sha256_compress_accelerated();

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_SHA256_COMPRESS_H_
