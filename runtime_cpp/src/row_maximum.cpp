#include "row_maximum.h"

#include <cmath>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace edgepose {
namespace {

// The place of the first value equal to the maximum, which may be the other zero (0 and -0 are
// equal).
RowMaximum first_of(const float* row, int length, float maximum) {
  for (int i = 0; i < length; ++i) {
    if (row[i] == maximum) return {i, row[i], true};
  }
  return {0, 0, false};
}

}  // namespace

RowMaximum row_maximum_scalar(const float* row, int length) {
  RowMaximum best = {0, row[0], true};
  for (int i = 0; i < length; ++i) {
    if (!std::isfinite(row[i])) return {0, 0, false};
    if (row[i] > best.value) best = {i, row[i], true};
  }
  return best;
}

#if defined(__SSE2__) || defined(__aarch64__)

RowMaximum row_maximum(const float* row, int length) {
  constexpr int kLanes = 8;
  if (length < kLanes) return row_maximum_scalar(row, length);
    // Blocks overlap at the end of the row: harmless for a maximum. x - x is 0 for finite values
    // only.
#if defined(__SSE2__)
  __m128 high = _mm_loadu_ps(row), high_2 = high;
  __m128 zero = _mm_setzero_ps(), zero_2 = zero;
  for (int i = 0;; i = i + kLanes < length - kLanes ? i + kLanes : length - kLanes) {
    const __m128 a = _mm_loadu_ps(row + i), b = _mm_loadu_ps(row + i + 4);
    zero = _mm_add_ps(zero, _mm_sub_ps(a, a));
    zero_2 = _mm_add_ps(zero_2, _mm_sub_ps(b, b));
    high = _mm_max_ps(high, a);
    high_2 = _mm_max_ps(high_2, b);
    if (i == length - kLanes) break;
  }
  alignas(16) float sums[4], lanes[4];
  _mm_store_ps(sums, _mm_add_ps(zero, zero_2));
  _mm_store_ps(lanes, _mm_max_ps(high, high_2));
#else
  float32x4_t high = vld1q_f32(row), high_2 = high;
  float32x4_t zero = vdupq_n_f32(0), zero_2 = zero;
  for (int i = 0;; i = i + kLanes < length - kLanes ? i + kLanes : length - kLanes) {
    const float32x4_t a = vld1q_f32(row + i), b = vld1q_f32(row + i + 4);
    zero = vaddq_f32(zero, vsubq_f32(a, a));
    zero_2 = vaddq_f32(zero_2, vsubq_f32(b, b));
    high = vmaxq_f32(high, a);
    high_2 = vmaxq_f32(high_2, b);
    if (i == length - kLanes) break;
  }
  float sums[4], lanes[4];
  vst1q_f32(sums, vaddq_f32(zero, zero_2));
  vst1q_f32(lanes, vmaxq_f32(high, high_2));
#endif
  float maximum = lanes[0];
  for (int i = 0; i < 4; ++i) {
    if (!(sums[i] == 0)) return {0, 0, false};
    if (lanes[i] > maximum) maximum = lanes[i];
  }
  return first_of(row, length, maximum);
}

#else

RowMaximum row_maximum(const float* row, int length) { return row_maximum_scalar(row, length); }

#endif

}  // namespace edgepose
