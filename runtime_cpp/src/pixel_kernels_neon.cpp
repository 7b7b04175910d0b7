#if defined(__aarch64__)

#include <arm_neon.h>

#include "pixel_kernels_simd.h"

namespace edgepose {
namespace {

const PixelKernels& scalar() { return scalar_pixel_kernels(); }

// The first pixel of a pair in the low four bytes, its right neighbour in the high four, 0 in the
// fourth lanes.
uint8x8_t spread(int channels) {
  static constexpr uint8_t kThree[8] = {0, 1, 2, 255, 3, 4, 5, 255};
  static constexpr uint8_t kFour[8] = {0, 1, 2, 255, 4, 5, 6, 255};
  return vld1_u8(channels == 3 ? kThree : kFour);
}

void warp_columns(const uint8_t* source, const int32_t* offsets, const uint64_t* weights, int count,
                  int channels, int16_t* quads) {
  const uint8x8_t order = spread(channels);
  for (int i = 0; i < count; ++i) {
    const uint8x8_t pair = vtbl1_u8(vld1_u8(source + offsets[i]), order);
    // Bytes (w0, w1, w0, w1, ...) to four times w0 and four times w1.
    const uint8x8_t w = vcreate_u8(weights[i]);
    const uint16x8_t products = vmull_u8(pair, vuzp1_u8(w, vrev16_u8(w)));
    vst1_s16(quads + 4 * i,
             vreinterpret_s16_u16(vadd_u16(vget_low_u16(products), vget_high_u16(products))));
  }
}

void resize_columns(const uint8_t* source, const int32_t* offsets, const uint64_t* weights,
                    int count, int channels, int16_t* quads) {
  const uint8x8_t order = spread(channels);
  for (int i = 0; i < count; ++i) {
    const uint16x8_t pair = vmovl_u8(vtbl1_u8(vld1_u8(source + offsets[i]), order));
    const uint16x4_t w = vcreate_u16(weights[i]);
    const uint32x4_t sum =
        vmlal_lane_u16(vmull_lane_u16(vget_low_u16(pair), w, 0), vget_high_u16(pair), w, 1);
    vst1_s16(quads + 4 * i, vreinterpret_s16_u16(vshrn_n_u32(sum, 4)));
  }
}

void warp_rows(const int16_t* first, const int16_t* second, int fraction, int count,
               uint8_t* quads) {
  const int16_t w0 = static_cast<int16_t>(32 - fraction), w1 = static_cast<int16_t>(fraction);
  const auto blend = [w0, w1](int16x4_t a, int16x4_t b) {
    // The rounding shift adds 512 before it shifts by 10.
    return vrshrn_n_u32(vreinterpretq_u32_s32(vmlal_n_s16(vmull_n_s16(a, w0), b, w1)), 10);
  };
  int i = 0;
  for (; i + 2 <= count; i += 2) {
    const int16x8_t a = vld1q_s16(first + 4 * i), b = vld1q_s16(second + 4 * i);
    const uint16x8_t both = vcombine_u16(blend(vget_low_s16(a), vget_low_s16(b)),
                                         blend(vget_high_s16(a), vget_high_s16(b)));
    vst1_u8(quads + 4 * i, vmovn_u16(both));
  }
  scalar().warp_rows(first + 4 * i, second + 4 * i, fraction, count - i, quads + 4 * i);
}

void resize_rows(const int16_t* first, const int16_t* second, int first_weight, int second_weight,
                 int count, uint8_t* quads) {
  const int16_t w0 = static_cast<int16_t>(first_weight), w1 = static_cast<int16_t>(second_weight);
  const auto high_half = [](int16x8_t a, int16_t w) {
    return vcombine_s16(vshrn_n_s32(vmull_n_s16(vget_low_s16(a), w), 16),
                        vshrn_n_s32(vmull_n_s16(vget_high_s16(a), w), 16));
  };
  int i = 0;
  for (; i + 2 <= count; i += 2) {
    const int16x8_t sum = vaddq_s16(high_half(vld1q_s16(first + 4 * i), w0),
                                    high_half(vld1q_s16(second + 4 * i), w1));
    vst1_u8(quads + 4 * i, vrshrn_n_u16(vreinterpretq_u16_s16(sum), 2));
  }
  scalar().resize_rows(first + 4 * i, second + 4 * i, first_weight, second_weight, count - i,
                       quads + 4 * i);
}

void normalise(const uint8_t* quads, const Normalisation& norm, int count, float* const planes[3]) {
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const uint8x8x4_t pixels = vld4_u8(quads + 4 * i);
    for (size_t p = 0; p < 3; ++p) {
      const uint16x8_t lane = vmovl_u8(pixels.val[norm.lane[p]]);
      const float32x4_t mean = vdupq_n_f32(norm.mean[p]), std_dev = vdupq_n_f32(norm.std_dev[p]);
      const float32x4_t low = vcvtq_f32_u32(vmovl_u16(vget_low_u16(lane)));
      const float32x4_t high = vcvtq_f32_u32(vmovl_u16(vget_high_u16(lane)));
      vst1q_f32(planes[p] + i, vdivq_f32(vsubq_f32(low, mean), std_dev));
      vst1q_f32(planes[p] + i + 4, vdivq_f32(vsubq_f32(high, mean), std_dev));
    }
  }
  float* const rest[3] = {planes[0] + i, planes[1] + i, planes[2] + i};
  scalar().normalise(quads + 4 * i, norm, count - i, rest);
}

void yuv_to_quads(const uint8_t* y, const uint8_t* u, const uint8_t* v, const YuvMatrix& matrix,
                  int count, uint8_t* quads) {
  const int32x4_t half = vdupq_n_s32(1 << (YuvMatrix::kShift - 1));
  const auto low = [](int16x8_t x) { return vmovl_s16(vget_low_s16(x)); };
  const auto high = [](int16x8_t x) { return vmovl_s16(vget_high_s16(x)); };
  const auto signed_16 = [](const uint8_t* p) {
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)));
  };
  const auto bytes = [](int32x4_t a, int32x4_t b) {
    // The narrowing steps clamp to a byte.
    const int16x8_t both = vcombine_s16(vqmovn_s32(vshrq_n_s32(a, YuvMatrix::kShift)),
                                        vqmovn_s32(vshrq_n_s32(b, YuvMatrix::kShift)));
    return vqmovun_s16(both);
  };
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const int16x8_t above =
        vmaxq_s16(vsubq_s16(signed_16(y + i), vdupq_n_s16(static_cast<int16_t>(matrix.black))),
                  vdupq_n_s16(0));
    const int16x8_t blue = vsubq_s16(signed_16(u + i), vdupq_n_s16(128));
    const int16x8_t red = vsubq_s16(signed_16(v + i), vdupq_n_s16(128));
    const int32x4_t base_0 = vmlaq_n_s32(half, low(above), matrix.luma);
    const int32x4_t base_1 = vmlaq_n_s32(half, high(above), matrix.luma);
    uint8x8x4_t out;
    out.val[0] = bytes(vmlaq_n_s32(base_0, low(red), matrix.red_v),
                       vmlaq_n_s32(base_1, high(red), matrix.red_v));
    out.val[1] = bytes(
        vmlaq_n_s32(vmlaq_n_s32(base_0, low(blue), matrix.green_u), low(red), matrix.green_v),
        vmlaq_n_s32(vmlaq_n_s32(base_1, high(blue), matrix.green_u), high(red), matrix.green_v));
    out.val[2] = bytes(vmlaq_n_s32(base_0, low(blue), matrix.blue_u),
                       vmlaq_n_s32(base_1, high(blue), matrix.blue_u));
    out.val[3] = vdup_n_u8(0);
    vst4_u8(quads + 4 * i, out);
  }
  scalar().yuv_to_quads(y + i, u + i, v + i, matrix, count - i, quads + 4 * i);
}

constexpr PixelKernels kNeon = {"neon",      warp_columns, resize_columns, warp_rows,
                                resize_rows, normalise,    yuv_to_quads};

}  // namespace

std::array<const PixelKernels*, 3> simd_pixel_kernels() { return {&kNeon, nullptr, nullptr}; }

}  // namespace edgepose

#endif
