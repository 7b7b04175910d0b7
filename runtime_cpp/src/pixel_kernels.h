#ifndef EDGEPOSE_SRC_PIXEL_KERNELS_H_
#define EDGEPOSE_SRC_PIXEL_KERNELS_H_

#include <array>
#include <cstdint>

#include "edgepose/span.h"

namespace edgepose {

// The inner loops of resampling, one table per instruction set; all tables give the same bits.
// A pixel in flight is a "quad": four lanes in the channel order of the picture, the fourth always
// 0.

// A column's two weights, repeated so that a vector register holds one pair per channel: bytes for
// warping, 16-bit values for resizing.
inline uint64_t warp_column_weight(int fraction_of_32) {
  return static_cast<uint64_t>((32 - fraction_of_32) | (fraction_of_32 << 8)) * 0x0001000100010001u;
}
inline uint64_t resize_column_weight(int first, int second) {
  return static_cast<uint64_t>(first | (second << 16)) * 0x0000000100000001u;
}

struct Normalisation {
  std::array<int, 3> lane;  // which lane of a quad each plane takes
  std::array<float, 3> mean;
  std::array<float, 3> std_dev;
};

// R = (luma * (max(Y - black, 0)) + red_v * (V - 128)) / 2^20, rounded and clamped to a byte; G and
// B alike.
struct YuvMatrix {
  static constexpr int kShift = 20;
  int32_t black, luma, red_v, green_u, green_v, blue_u;
};

struct PixelKernels {
  const char* name;

  // Interpolates count columns of one source row of 3 or 4 bytes a pixel. Column i lies between the
  // pixel at byte offsets[i] and the next one; 8 bytes are read there. warp: weights in 1/32, lanes
  // up to 255 * 32; resize: weights in 1/2048, lanes divided by 16.
  void (*warp_columns)(const uint8_t* source, const int32_t* offsets, const uint64_t* weights,
                       int count, int channels, int16_t* quads);
  void (*resize_columns)(const uint8_t* source, const int32_t* offsets, const uint64_t* weights,
                         int count, int channels, int16_t* quads);

  // Blends two interpolated rows and rounds to 8 bits as OpenCV's warpAffine and resize do.
  void (*warp_rows)(const int16_t* first, const int16_t* second, int fraction_of_32, int count,
                    uint8_t* quads);
  void (*resize_rows)(const int16_t* first, const int16_t* second, int first_weight,
                      int second_weight, int count, uint8_t* quads);

  // Writes (value - mean) / std_dev of count pixels to each of the three planes.
  void (*normalise)(const uint8_t* quads, const Normalisation& norm, int count,
                    float* const planes[3]);

  // Writes count pixels as quads in the order R, G, B, 0.
  void (*yuv_to_quads)(const uint8_t* y, const uint8_t* u, const uint8_t* v,
                       const YuvMatrix& matrix, int count, uint8_t* quads);
};

const PixelKernels& scalar_pixel_kernels();

// Every table that this processor can run, the scalar one first and the fastest last.
Span<const PixelKernels* const> usable_pixel_kernels();

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_PIXEL_KERNELS_H_
