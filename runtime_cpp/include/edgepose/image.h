#ifndef EDGEPOSE_IMAGE_H_
#define EDGEPOSE_IMAGE_H_

#include <cstddef>
#include <cstdint>

#include "edgepose/status.h"

namespace edgepose {

enum class PixelFormat : int { kBgr = 0, kRgb = 1, kBgra = 2, kRgba = 3 };

// Bytes of one pixel.
int channels_of(PixelFormat format);

// An 8-bit picture that the caller owns; borrowed for the duration of one call.
struct ImageView {
  const uint8_t* data = nullptr;
  int width_px = 0;
  int height_px = 0;
  ptrdiff_t row_stride_bytes = 0;
  PixelFormat format = PixelFormat::kBgr;
};

// Refuses null data, a side that is not in 1..32767, and a stride shorter than a row.
Status validate(const ImageView& image);

}  // namespace edgepose

#endif  // EDGEPOSE_IMAGE_H_
