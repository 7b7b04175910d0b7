#include "edgepose/image.h"

#include <string>

namespace edgepose {

int channels_of(PixelFormat format) {
  return format == PixelFormat::kBgra || format == PixelFormat::kRgba ? 4 : 3;
}

Status validate(const ImageView& image) {
  constexpr int kMaxSidePx = 32767;  // taps are 16-bit coordinates in OpenCV, too
  if (image.data == nullptr)
    return Status(Code::kInvalidArgument, "the picture has no data", "pass its pixels");
  const int format = static_cast<int>(image.format);
  if (format < static_cast<int>(PixelFormat::kBgr) ||
      format > static_cast<int>(PixelFormat::kRgba)) {
    return Status(Code::kInvalidArgument,
                  "pixel format " + std::to_string(format) + " does not exist",
                  "use kBgr, kRgb, kBgra or kRgba");
  }
  if (image.width_px < 1 || image.height_px < 1 || image.width_px > kMaxSidePx ||
      image.height_px > kMaxSidePx) {
    return Status(Code::kInvalidArgument,
                  "the picture is " + std::to_string(image.width_px) + " x " +
                      std::to_string(image.height_px) + " pixels",
                  "both sides must be in 1.." + std::to_string(kMaxSidePx));
  }
  const ptrdiff_t row_bytes = static_cast<ptrdiff_t>(image.width_px) * channels_of(image.format);
  if (image.row_stride_bytes < row_bytes) {
    return Status(Code::kInvalidArgument,
                  "row_stride_bytes is " + std::to_string(image.row_stride_bytes) + ", a row has " +
                      std::to_string(row_bytes) + " bytes",
                  "pass the distance in bytes between two rows");
  }
  return Status();
}

}  // namespace edgepose
