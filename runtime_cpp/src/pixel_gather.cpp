#include "pixel_gather.h"

#include <algorithm>
#include <utility>

namespace edgepose {
namespace {

constexpr int kShift = YuvMatrix::kShift;

constexpr int32_t fixed(double value) {
  return static_cast<int32_t>(value * (1 << kShift) + (value < 0 ? -0.5 : 0.5));
}

YuvMatrix matrix_of(YuvColour colour) {
  switch (colour) {
    case YuvColour::kBt601Full:
      return {0, 1 << kShift, fixed(1.402), fixed(-0.344136), fixed(-0.714136), fixed(1.772)};
    case YuvColour::kBt601Limited:
      return {16, 1220542, 1673527, -409993, -852492, 2116026};  // as in cv2.cvtColor
    case YuvColour::kBt709Limited:
      break;
  }
  return {16,
          fixed(255.0 / 219),
          fixed(1.5748 * 255 / 224),
          fixed(-0.187324 * 255 / 224),
          fixed(-0.468124 * 255 / 224),
          fixed(1.8556 * 255 / 224)};
}

}  // namespace

bool PixelGather::needed(const ImageView& image) {
  return is_yuv(image.format) || image.rotation_deg != 0 || image.mirrored;
}

PixelGather::PixelGather(const PixelKernels& kernels, const ImageView& image)
    : kernels_(kernels), image_(image), channels_(channels_of(image.format)) {
  const bool yuv = is_yuv(image.format);
  int32_t chroma_step = 0;
  if (yuv) {
    matrix_ = matrix_of(image.colour);
    chroma_step = image.format == PixelFormat::kYuv420
                      ? static_cast<int32_t>(image.chroma_pixel_stride_bytes)
                      : 2;
    u_ = image.format == PixelFormat::kNv21 ? image.u + 1 : image.u;
    v_ = image.format == PixelFormat::kNv21
             ? image.u
             : (image.format == PixelFormat::kNv12 ? image.u + 1 : image.v);
  }
  const Axis x = {0, 1, image.width_px, channels_, chroma_step};
  const Axis y = {0, 1, image.height_px, static_cast<int32_t>(image.row_stride_bytes),
                  static_cast<int32_t>(yuv ? image.chroma_row_stride_bytes : 0)};
  const auto reversed = [](Axis axis) {
    return Axis{axis.length_px - 1, -1, axis.length_px, axis.stride_bytes,
                axis.chroma_stride_bytes};
  };
  // A clockwise quarter turn puts the source's bottom row at the left.
  switch (image.rotation_deg) {
    case 90:
      columns_ = reversed(y);
      rows_ = x;
      break;
    case 180:
      columns_ = reversed(x);
      rows_ = reversed(y);
      break;
    case 270:
      columns_ = y;
      rows_ = reversed(x);
      break;
    default:
      columns_ = x;
      rows_ = y;
  }
  if (image.mirrored) {
    columns_.first = columns_.source(columns_.length_px - 1);
    columns_.step = -columns_.step;
  }
}

void PixelGather::set_column(int i, int x) {
  for (int t = 0; t < 2; ++t) {
    const int source = columns_.source(std::clamp(x + t, 0, columns_.length_px - 1));
    offsets_[2 * i + t] = source * columns_.stride_bytes;
    chroma_offsets_[2 * i + t] = source / 2 * columns_.chroma_stride_bytes;
  }
}

void PixelGather::read(int y, int begin, int end, uint8_t* pairs) {
  if (is_yuv(image_.format)) {
    read_yuv(y, begin, end, pairs);
  } else {
    read_packed(y, begin, end, pairs);
  }
}

void PixelGather::read_yuv(int y, int begin, int end, uint8_t* pairs) {
  const int source = rows_.source(y);
  const ptrdiff_t chroma_row = static_cast<ptrdiff_t>(source / 2) * rows_.chroma_stride_bytes;
  const uint8_t* luma = image_.data + static_cast<ptrdiff_t>(source) * rows_.stride_bytes;
  const uint8_t* u = u_ + chroma_row;
  const uint8_t* v = v_ + chroma_row;
  for (int i = 2 * begin; i < 2 * end; ++i) {
    samples_[0][i] = luma[offsets_[i]];
    samples_[1][i] = u[chroma_offsets_[i]];
    samples_[2][i] = v[chroma_offsets_[i]];
  }
  const int first = 2 * begin;
  kernels_.yuv_to_quads(samples_[0] + first, samples_[1] + first, samples_[2] + first, matrix_,
                        2 * (end - begin), pairs + 4 * first);
}

void PixelGather::read_packed(int y, int begin, int end, uint8_t* pairs) const {
  const uint8_t* row = image_.data + static_cast<ptrdiff_t>(rows_.source(y)) * rows_.stride_bytes;
  for (int i = 2 * begin; i < 2 * end; ++i) {
    const uint8_t* pixel = row + offsets_[i];
    uint8_t* quad = pairs + 4 * i;
    quad[0] = pixel[0];
    quad[1] = pixel[1];
    quad[2] = pixel[2];
    quad[3] = 0;
  }
}

}  // namespace edgepose
