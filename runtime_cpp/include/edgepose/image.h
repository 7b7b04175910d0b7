#ifndef EDGEPOSE_IMAGE_H_
#define EDGEPOSE_IMAGE_H_

#include <cstddef>
#include <cstdint>

#include "edgepose/status.h"

namespace edgepose {

// The last three are cameras' YUV 4:2:0. kNv12 and kNv21: a luma plane and one of interleaved
// chroma, U or V first. kYuv420: three planes, the chroma ones with a pixel stride (Android's
// YUV_420_888).
enum class PixelFormat : int {
  kBgr = 0,
  kRgb = 1,
  kBgra = 2,
  kRgba = 3,
  kNv12 = 4,
  kNv21 = 5,
  kYuv420 = 6,
};

// How YUV becomes RGB. kBt601Full is what Android's cameras deliver (JFIF); kBt601Limited is
// OpenCV's cvtColor, bit for bit.
enum class YuvColour : int { kBt601Full = 0, kBt601Limited = 1, kBt709Limited = 2 };

bool is_yuv(PixelFormat format);

// Bytes of one pixel of a packed format; 1 (luma) for YUV.
int channels_of(PixelFormat format);

// An 8-bit picture that the caller owns; borrowed for the duration of one call.
struct ImageView {
  const uint8_t* data = nullptr;  // packed pixels, or luma
  int width_px = 0;               // as stored, before the rotation
  int height_px = 0;
  ptrdiff_t row_stride_bytes = 0;
  PixelFormat format = PixelFormat::kBgr;

  // YUV only. kNv12 and kNv21: u is the interleaved plane, v and the pixel stride are not used.
  const uint8_t* u = nullptr;
  const uint8_t* v = nullptr;
  ptrdiff_t chroma_row_stride_bytes = 0;
  ptrdiff_t chroma_pixel_stride_bytes = 0;
  YuvColour colour = YuvColour::kBt601Full;

  // The clockwise turn (0, 90, 180 or 270 degrees) that makes the picture upright; mirrored flips
  // the upright picture left to right. Boxes and keypoints are in pixels of the result.
  int rotation_deg = 0;
  bool mirrored = false;

  // The length of each plane; 0: the caller vouches for it.
  size_t data_bytes = 0;
  size_t u_bytes = 0;
  size_t v_bytes = 0;
};

// The sides of the picture after its rotation.
int upright_width_px(const ImageView& image);
int upright_height_px(const ImageView& image);

// Refuses null planes, a side that is not in 1..32767, a stride shorter than a row, a plane that is
// shorter than its rows, and a rotation that is not a quarter turn.
Status validate(const ImageView& image);

}  // namespace edgepose

#endif  // EDGEPOSE_IMAGE_H_
