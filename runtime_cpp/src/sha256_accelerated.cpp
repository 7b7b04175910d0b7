#include "sha256_compress.h"

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define EDGEPOSE_SHA256_X86 1
#include <cpuid.h>
#include <immintrin.h>
// Before version 16, clang's arm_neon.h has the SHA instructions only where the whole build may use
// them.
#elif defined(__aarch64__) && (defined(__linux__) || defined(__APPLE__)) && \
    (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_SHA2))
#define EDGEPOSE_SHA256_ARM 1
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__clang__)
#define EDGEPOSE_TARGET_SHA2 __attribute__((target("sha2")))
#else
#define EDGEPOSE_TARGET_SHA2 __attribute__((target("+crypto")))
#endif
#endif

namespace edgepose {
namespace {

#if defined(EDGEPOSE_SHA256_X86)

bool processor_has_sha() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_SSE4_1) == 0 || (c & bit_SSSE3) == 0)
    return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (b & (1u << 29)) != 0;  // SHA
}

__attribute__((target("sha,sse4.1,ssse3"))) void compress(uint32_t* state, const uint8_t* blocks,
                                                          size_t count) {
  // The instructions keep the state as (a, b, e, f) and (c, d, g, h), the first of each in the
  // highest word.
  const __m128i byte_order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);

  for (; count > 0; --count, blocks += 64) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; ++i) {
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks + 16 * i)),
                              byte_order);
    }
    for (int round = 0; round < 16; ++round) {
      const __m128i current = w[round & 3];
      const __m128i constants =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(kSha256Constants + 4 * round));
      const __m128i sum = _mm_add_epi32(current, constants);
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
      if (round < 12) {
        // w[t] for the four words that follow these sixteen.
        const __m128i newest = w[(round + 3) & 3];
        const __m128i middle = _mm_alignr_epi8(newest, w[(round + 2) & 3], 4);
        const __m128i partial =
            _mm_add_epi32(_mm_sha256msg1_epu32(current, w[(round + 1) & 3]), middle);
        w[round & 3] = _mm_sha256msg2_epu32(partial, newest);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#elif defined(EDGEPOSE_SHA256_ARM)

bool processor_has_sha() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & (1ul << 6)) != 0;  // HWCAP_SHA2
#else
  return true;  // every 64-bit Apple processor has it
#endif
}

EDGEPOSE_TARGET_SHA2 void compress(uint32_t* state, const uint8_t* blocks, size_t count) {
  uint32x4_t abcd = vld1q_u32(state);
  uint32x4_t efgh = vld1q_u32(state + 4);
  for (; count > 0; --count, blocks += 64) {
    const uint32x4_t abcd_before = abcd;
    const uint32x4_t efgh_before = efgh;
    uint32x4_t w[4];
    for (int i = 0; i < 4; ++i) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(blocks + 16 * i)));
    for (int round = 0; round < 16; ++round) {
      const uint32x4_t sum = vaddq_u32(w[round & 3], vld1q_u32(kSha256Constants + 4 * round));
      const uint32x4_t abcd_old = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, abcd_old, sum);
      if (round < 12) {
        const uint32x4_t partial = vsha256su0q_u32(w[round & 3], w[(round + 1) & 3]);
        w[round & 3] = vsha256su1q_u32(partial, w[(round + 2) & 3], w[(round + 3) & 3]);
      }
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

#endif

}  // namespace

Sha256Compress sha256_compress_accelerated() {
#if defined(EDGEPOSE_SHA256_X86) || defined(EDGEPOSE_SHA256_ARM)
  static const bool present = processor_has_sha();
  return present ? compress : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace edgepose
