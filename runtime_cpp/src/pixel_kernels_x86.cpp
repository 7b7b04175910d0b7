#if defined(__x86_64__) || defined(__i386__)

#include <immintrin.h>

#include "pixel_kernels_simd.h"

// The library is built for baseline x86-64; each function states what it needs and runs only where
// that is present.
#define EDGEPOSE_SSSE3 __attribute__((target("ssse3")))
#define EDGEPOSE_AVX2 __attribute__((target("avx2")))

namespace edgepose {
namespace {

const PixelKernels& scalar() { return scalar_pixel_kernels(); }

template <typename Vector>
inline const Vector* at(const void* p) {
  return static_cast<const Vector*>(p);
}

template <typename Vector>
inline Vector* at(void* p) {
  return static_cast<Vector*>(p);
}

// SSSE3: two pixels in a register of 16-bit lanes

// Two pairs of neighbouring pixels, each 8 bytes.
EDGEPOSE_SSSE3 inline __m128i load_two(const uint8_t* source, const int32_t* offsets) {
  const __m128i low = _mm_loadl_epi64(at<__m128i>(source + offsets[0]));
  return _mm_unpacklo_epi64(low, _mm_loadl_epi64(at<__m128i>(source + offsets[1])));
}

// Brings the two values of a channel together: bytes for pmaddubsw.
EDGEPOSE_SSSE3 inline __m128i interleave(int channels) {
  return channels == 3 ? _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 8, 11, 9, 12, 10, 13, -1, -1)
                       : _mm_setr_epi8(0, 4, 1, 5, 2, 6, -1, -1, 8, 12, 9, 13, 10, 14, -1, -1);
}

// The same for one pixel of the pair at byte `start`, widened to 16 bits for pmaddwd.
EDGEPOSE_SSSE3 inline __m128i widen(int channels, int start) {
  const char s = static_cast<char>(start), n = static_cast<char>(start + channels);
  return _mm_setr_epi8(s, -1, n, -1, static_cast<char>(s + 1), -1, static_cast<char>(n + 1), -1,
                       static_cast<char>(s + 2), -1, static_cast<char>(n + 2), -1, -1, -1, -1, -1);
}

EDGEPOSE_SSSE3 void warp_columns_ssse3(const uint8_t* source, const int32_t* offsets,
                                       const uint64_t* weights, int count, int channels,
                                       int16_t* quads) {
  const __m128i order = interleave(channels);
  int i = 0;
  for (; i + 2 <= count; i += 2) {
    const __m128i pairs = _mm_shuffle_epi8(load_two(source, offsets + i), order);
    _mm_storeu_si128(at<__m128i>(quads + 4 * i),
                     _mm_maddubs_epi16(pairs, _mm_loadu_si128(at<__m128i>(weights + i))));
  }
  scalar().warp_columns(source, offsets + i, weights + i, count - i, channels, quads + 4 * i);
}

EDGEPOSE_SSSE3 void resize_columns_ssse3(const uint8_t* source, const int32_t* offsets,
                                         const uint64_t* weights, int count, int channels,
                                         int16_t* quads) {
  const __m128i order_0 = widen(channels, 0), order_1 = widen(channels, 8);
  int i = 0;
  for (; i + 2 <= count; i += 2) {
    const __m128i pairs = load_two(source, offsets + i);
    const __m128i w = _mm_loadu_si128(at<__m128i>(weights + i));
    const __m128i a = _mm_madd_epi16(_mm_shuffle_epi8(pairs, order_0), _mm_unpacklo_epi64(w, w));
    const __m128i b = _mm_madd_epi16(_mm_shuffle_epi8(pairs, order_1), _mm_unpackhi_epi64(w, w));
    _mm_storeu_si128(at<__m128i>(quads + 4 * i),
                     _mm_packs_epi32(_mm_srli_epi32(a, 4), _mm_srli_epi32(b, 4)));
  }
  scalar().resize_columns(source, offsets + i, weights + i, count - i, channels, quads + 4 * i);
}

EDGEPOSE_SSSE3 inline __m128i blend_two(const int16_t* first, const int16_t* second,
                                        __m128i weights) {
  const __m128i a = _mm_loadu_si128(at<__m128i>(first)), b = _mm_loadu_si128(at<__m128i>(second));
  const __m128i half = _mm_set1_epi32(512);
  const __m128i low = _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi16(a, b), weights), half);
  const __m128i high = _mm_add_epi32(_mm_madd_epi16(_mm_unpackhi_epi16(a, b), weights), half);
  return _mm_packs_epi32(_mm_srli_epi32(low, 10), _mm_srli_epi32(high, 10));
}

EDGEPOSE_SSSE3 void warp_rows_ssse3(const int16_t* first, const int16_t* second, int fraction,
                                    int count, uint8_t* quads) {
  const __m128i weights = _mm_set1_epi32((32 - fraction) | (fraction << 16));
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m128i low = blend_two(first + 4 * i, second + 4 * i, weights);
    const __m128i high = blend_two(first + 4 * i + 8, second + 4 * i + 8, weights);
    _mm_storeu_si128(at<__m128i>(quads + 4 * i), _mm_packus_epi16(low, high));
  }
  scalar().warp_rows(first + 4 * i, second + 4 * i, fraction, count - i, quads + 4 * i);
}

EDGEPOSE_SSSE3 inline __m128i mix_two(const int16_t* first, const int16_t* second,
                                      __m128i first_weight, __m128i second_weight) {
  const __m128i a = _mm_mulhi_epi16(_mm_loadu_si128(at<__m128i>(first)), first_weight);
  const __m128i b = _mm_mulhi_epi16(_mm_loadu_si128(at<__m128i>(second)), second_weight);
  return _mm_srli_epi16(_mm_add_epi16(_mm_add_epi16(a, b), _mm_set1_epi16(2)), 2);
}

EDGEPOSE_SSSE3 void resize_rows_ssse3(const int16_t* first, const int16_t* second, int first_weight,
                                      int second_weight, int count, uint8_t* quads) {
  const __m128i w0 = _mm_set1_epi16(static_cast<int16_t>(first_weight));
  const __m128i w1 = _mm_set1_epi16(static_cast<int16_t>(second_weight));
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m128i low = mix_two(first + 4 * i, second + 4 * i, w0, w1);
    const __m128i high = mix_two(first + 4 * i + 8, second + 4 * i + 8, w0, w1);
    _mm_storeu_si128(at<__m128i>(quads + 4 * i), _mm_packus_epi16(low, high));
  }
  scalar().resize_rows(first + 4 * i, second + 4 * i, first_weight, second_weight, count - i,
                       quads + 4 * i);
}

EDGEPOSE_SSSE3 inline __m128i lane_to_int32(int lane) {
  return _mm_add_epi32(_mm_setr_epi32(0, 4, 8, 12),
                       _mm_set1_epi32(lane - 256));  // bytes 1..3 are negative: zero
}

void normalise_tail(const uint8_t* quads, const Normalisation& norm, int done, int count,
                    float* const planes[3]) {
  float* const rest[3] = {planes[0] + done, planes[1] + done, planes[2] + done};
  scalar().normalise(quads + 4 * done, norm, count - done, rest);
}

EDGEPOSE_SSSE3 void normalise_ssse3(const uint8_t* quads, const Normalisation& norm, int count,
                                    float* const planes[3]) {
  __m128i order[3];
  __m128 mean[3], std_dev[3];
  for (size_t p = 0; p < 3; ++p) {
    order[p] = lane_to_int32(norm.lane[p]);
    mean[p] = _mm_set1_ps(norm.mean[p]);
    std_dev[p] = _mm_set1_ps(norm.std_dev[p]);
  }
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m128i pixels = _mm_loadu_si128(at<__m128i>(quads + 4 * i));
    for (size_t p = 0; p < 3; ++p) {
      const __m128 value = _mm_cvtepi32_ps(_mm_shuffle_epi8(pixels, order[p]));
      _mm_storeu_ps(planes[p] + i, _mm_div_ps(_mm_sub_ps(value, mean[p]), std_dev[p]));
    }
  }
  normalise_tail(quads, norm, i, count, planes);
}

// AVX2: four pixels in a register of 16-bit lanes

EDGEPOSE_AVX2 inline __m256i load_four(const uint8_t* source, const int32_t* offsets) {
  const __m128i a = _mm_loadl_epi64(at<__m128i>(source + offsets[0]));
  const __m128i b = _mm_loadl_epi64(at<__m128i>(source + offsets[1]));
  const __m128i c = _mm_loadl_epi64(at<__m128i>(source + offsets[2]));
  const __m128i d = _mm_loadl_epi64(at<__m128i>(source + offsets[3]));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi64(a, b)),
                                 _mm_unpacklo_epi64(c, d), 1);
}

EDGEPOSE_AVX2 void warp_columns_avx2(const uint8_t* source, const int32_t* offsets,
                                     const uint64_t* weights, int count, int channels,
                                     int16_t* quads) {
  const __m256i order = _mm256_broadcastsi128_si256(interleave(channels));
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i pairs = _mm256_shuffle_epi8(load_four(source, offsets + i), order);
    _mm256_storeu_si256(at<__m256i>(quads + 4 * i),
                        _mm256_maddubs_epi16(pairs, _mm256_loadu_si256(at<__m256i>(weights + i))));
  }
  scalar().warp_columns(source, offsets + i, weights + i, count - i, channels, quads + 4 * i);
}

EDGEPOSE_AVX2 void resize_columns_avx2(const uint8_t* source, const int32_t* offsets,
                                       const uint64_t* weights, int count, int channels,
                                       int16_t* quads) {
  const __m256i order_0 = _mm256_broadcastsi128_si256(widen(channels, 0));
  const __m256i order_1 = _mm256_broadcastsi128_si256(widen(channels, 8));
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i pairs = load_four(source, offsets + i);
    const __m256i w = _mm256_loadu_si256(at<__m256i>(weights + i));
    const __m256i a =
        _mm256_madd_epi16(_mm256_shuffle_epi8(pairs, order_0), _mm256_unpacklo_epi64(w, w));
    const __m256i b =
        _mm256_madd_epi16(_mm256_shuffle_epi8(pairs, order_1), _mm256_unpackhi_epi64(w, w));
    _mm256_storeu_si256(at<__m256i>(quads + 4 * i),
                        _mm256_packs_epi32(_mm256_srli_epi32(a, 4), _mm256_srli_epi32(b, 4)));
  }
  scalar().resize_columns(source, offsets + i, weights + i, count - i, channels, quads + 4 * i);
}

EDGEPOSE_AVX2 inline __m256i blend_four(const int16_t* first, const int16_t* second,
                                        __m256i weights) {
  const __m256i a = _mm256_loadu_si256(at<__m256i>(first)),
                b = _mm256_loadu_si256(at<__m256i>(second));
  const __m256i half = _mm256_set1_epi32(512);
  const __m256i low =
      _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights), half);
  const __m256i high =
      _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights), half);
  return _mm256_packs_epi32(_mm256_srli_epi32(low, 10), _mm256_srli_epi32(high, 10));
}

// packus works within halves of the register; this restores the order of the pixels.
EDGEPOSE_AVX2 inline void store_eight(__m256i low, __m256i high, uint8_t* quads) {
  const __m256i packed = _mm256_packus_epi16(low, high);
  _mm256_storeu_si256(at<__m256i>(quads), _mm256_permute4x64_epi64(packed, 0xd8));
}

EDGEPOSE_AVX2 void warp_rows_avx2(const int16_t* first, const int16_t* second, int fraction,
                                  int count, uint8_t* quads) {
  const __m256i weights = _mm256_set1_epi32((32 - fraction) | (fraction << 16));
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    store_eight(blend_four(first + 4 * i, second + 4 * i, weights),
                blend_four(first + 4 * i + 16, second + 4 * i + 16, weights), quads + 4 * i);
  }
  scalar().warp_rows(first + 4 * i, second + 4 * i, fraction, count - i, quads + 4 * i);
}

EDGEPOSE_AVX2 inline __m256i mix_four(const int16_t* first, const int16_t* second,
                                      __m256i first_weight, __m256i second_weight) {
  const __m256i a = _mm256_mulhi_epi16(_mm256_loadu_si256(at<__m256i>(first)), first_weight);
  const __m256i b = _mm256_mulhi_epi16(_mm256_loadu_si256(at<__m256i>(second)), second_weight);
  return _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_set1_epi16(2)), 2);
}

EDGEPOSE_AVX2 void resize_rows_avx2(const int16_t* first, const int16_t* second, int first_weight,
                                    int second_weight, int count, uint8_t* quads) {
  const __m256i w0 = _mm256_set1_epi16(static_cast<int16_t>(first_weight));
  const __m256i w1 = _mm256_set1_epi16(static_cast<int16_t>(second_weight));
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    store_eight(mix_four(first + 4 * i, second + 4 * i, w0, w1),
                mix_four(first + 4 * i + 16, second + 4 * i + 16, w0, w1), quads + 4 * i);
  }
  scalar().resize_rows(first + 4 * i, second + 4 * i, first_weight, second_weight, count - i,
                       quads + 4 * i);
}

EDGEPOSE_AVX2 void normalise_avx2(const uint8_t* quads, const Normalisation& norm, int count,
                                  float* const planes[3]) {
  __m256i order[3];
  __m256 mean[3], std_dev[3];
  for (size_t p = 0; p < 3; ++p) {
    order[p] = _mm256_broadcastsi128_si256(lane_to_int32(norm.lane[p]));
    mean[p] = _mm256_set1_ps(norm.mean[p]);
    std_dev[p] = _mm256_set1_ps(norm.std_dev[p]);
  }
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i pixels = _mm256_loadu_si256(at<__m256i>(quads + 4 * i));
    for (size_t p = 0; p < 3; ++p) {
      const __m256 value = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, order[p]));
      _mm256_storeu_ps(planes[p] + i, _mm256_div_ps(_mm256_sub_ps(value, mean[p]), std_dev[p]));
    }
  }
  normalise_tail(quads, norm, i, count, planes);
}

EDGEPOSE_AVX2 inline __m256i load_samples(const uint8_t* samples) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(at<__m128i>(samples)));
}

EDGEPOSE_AVX2 inline __m256i to_byte(__m256i value) {
  const __m256i shifted = _mm256_srai_epi32(value, YuvMatrix::kShift);
  return _mm256_min_epi32(_mm256_max_epi32(shifted, _mm256_setzero_si256()),
                          _mm256_set1_epi32(255));
}

EDGEPOSE_AVX2 void yuv_to_quads_avx2(const uint8_t* y, const uint8_t* u, const uint8_t* v,
                                     const YuvMatrix& matrix, int count, uint8_t* quads) {
  const __m256i black = _mm256_set1_epi32(matrix.black), luma = _mm256_set1_epi32(matrix.luma);
  const __m256i red_v = _mm256_set1_epi32(matrix.red_v), blue_u = _mm256_set1_epi32(matrix.blue_u);
  const __m256i green_u = _mm256_set1_epi32(matrix.green_u),
                green_v = _mm256_set1_epi32(matrix.green_v);
  const __m256i half = _mm256_set1_epi32(1 << (YuvMatrix::kShift - 1));
  const __m256i grey = _mm256_set1_epi32(128);
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i above =
        _mm256_max_epi32(_mm256_sub_epi32(load_samples(y + i), black), _mm256_setzero_si256());
    const __m256i base = _mm256_add_epi32(_mm256_mullo_epi32(above, luma), half);
    const __m256i blue = _mm256_sub_epi32(load_samples(u + i), grey);
    const __m256i red = _mm256_sub_epi32(load_samples(v + i), grey);
    const __m256i r = to_byte(_mm256_add_epi32(base, _mm256_mullo_epi32(red, red_v)));
    const __m256i g =
        to_byte(_mm256_add_epi32(base, _mm256_add_epi32(_mm256_mullo_epi32(blue, green_u),
                                                        _mm256_mullo_epi32(red, green_v))));
    const __m256i b = to_byte(_mm256_add_epi32(base, _mm256_mullo_epi32(blue, blue_u)));
    _mm256_storeu_si256(
        at<__m256i>(quads + 4 * i),
        _mm256_or_si256(r, _mm256_or_si256(_mm256_slli_epi32(g, 8), _mm256_slli_epi32(b, 16))));
  }
  scalar().yuv_to_quads(y + i, u + i, v + i, matrix, count - i, quads + 4 * i);
}

// SSSE3 has no 32-bit multiplication.
void yuv_to_quads_ssse3(const uint8_t* y, const uint8_t* u, const uint8_t* v,
                        const YuvMatrix& matrix, int count, uint8_t* quads) {
  scalar().yuv_to_quads(y, u, v, matrix, count, quads);
}

constexpr PixelKernels kSsse3 = {"ssse3",           warp_columns_ssse3, resize_columns_ssse3,
                                 warp_rows_ssse3,   resize_rows_ssse3,  normalise_ssse3,
                                 yuv_to_quads_ssse3};
constexpr PixelKernels kAvx2 = {"avx2",           warp_columns_avx2, resize_columns_avx2,
                                warp_rows_avx2,   resize_rows_avx2,  normalise_avx2,
                                yuv_to_quads_avx2};

}  // namespace

std::array<const PixelKernels*, 3> simd_pixel_kernels() {
  return {__builtin_cpu_supports("ssse3") ? &kSsse3 : nullptr,
          __builtin_cpu_supports("avx2") ? &kAvx2 : nullptr, nullptr};
}

}  // namespace edgepose

#endif
