#include "edgepose/image.h"

#include <limits>
#include <string>

namespace edgepose {
namespace {

Status invalid(const std::string& message, const std::string& hint) {
  return Status(Code::kInvalidArgument, message, hint);
}

struct Plane {
  const char* name;
  const uint8_t* data;
  int64_t rows;
  int64_t row_bytes;  // from the first byte of a row to behind its last
  ptrdiff_t stride_bytes;
  size_t bytes;  // 0: unknown
};

Status validate(const Plane& plane) {
  const std::string name = plane.name;
  if (plane.data == nullptr) return invalid("the picture has no " + name, "pass every plane");
  if (plane.stride_bytes < plane.row_bytes) {
    return invalid("row_stride_bytes of the " + name + " is " + std::to_string(plane.stride_bytes) +
                       ", a row has " + std::to_string(plane.row_bytes) + " bytes",
                   "pass the distance in bytes between two rows");
  }
  if (plane.stride_bytes > std::numeric_limits<int32_t>::max() / plane.rows) {
    return invalid("row_stride_bytes of the " + name + " is " + std::to_string(plane.stride_bytes) +
                       " for " + std::to_string(plane.rows) + " rows",
                   "a plane may span 2 GiB");
  }
  const int64_t needed = plane.stride_bytes * (plane.rows - 1) + plane.row_bytes;
  if (plane.bytes != 0 && static_cast<uint64_t>(needed) > plane.bytes) {
    return invalid("the " + name + " has " + std::to_string(plane.bytes) +
                       " bytes, its size and strides need " + std::to_string(needed),
                   "check the size of the picture and the strides");
  }
  return {};
}

Status validate_chroma(const ImageView& image) {
  const int colour = static_cast<int>(image.colour);
  if (colour < 0 || colour > static_cast<int>(YuvColour::kBt709Limited))
    return invalid("YUV colour " + std::to_string(colour) + " does not exist", "use 0, 1 or 2");
  const int64_t columns = (image.width_px + 1) / 2;
  const int64_t rows = (image.height_px + 1) / 2;
  const ptrdiff_t stride = image.chroma_row_stride_bytes;
  if (image.format != PixelFormat::kYuv420)
    return validate({"chroma plane", image.u, rows, 2 * columns, stride, image.u_bytes});
  constexpr ptrdiff_t kMaxPixelStride = 16;
  const ptrdiff_t step = image.chroma_pixel_stride_bytes;
  if (step < 1 || step > kMaxPixelStride) {
    return invalid("chroma_pixel_stride_bytes is " + std::to_string(step),
                   "it is 1 for separate and 2 for interleaved planes");
  }
  const int64_t row_bytes = (columns - 1) * step + 1;
  EDGEPOSE_RETURN_IF_ERROR(validate({"U plane", image.u, rows, row_bytes, stride, image.u_bytes}));
  return validate({"V plane", image.v, rows, row_bytes, stride, image.v_bytes});
}

}  // namespace

bool is_yuv(PixelFormat format) {
  return format == PixelFormat::kNv12 || format == PixelFormat::kNv21 ||
         format == PixelFormat::kYuv420;
}

int channels_of(PixelFormat format) {
  if (is_yuv(format)) return 1;
  return format == PixelFormat::kBgra || format == PixelFormat::kRgba ? 4 : 3;
}

int upright_width_px(const ImageView& image) {
  return image.rotation_deg % 180 == 0 ? image.width_px : image.height_px;
}

int upright_height_px(const ImageView& image) {
  return image.rotation_deg % 180 == 0 ? image.height_px : image.width_px;
}

Status validate(const ImageView& image) {
  constexpr int kMaxSidePx = 32767;  // taps are 16-bit coordinates in OpenCV, too
  const int format = static_cast<int>(image.format);
  if (format < static_cast<int>(PixelFormat::kBgr) ||
      format > static_cast<int>(PixelFormat::kYuv420)) {
    return invalid("pixel format " + std::to_string(format) + " does not exist",
                   "use one of PixelFormat");
  }
  if (image.data == nullptr) return invalid("the picture has no data", "pass its pixels");
  if (image.width_px < 1 || image.height_px < 1 || image.width_px > kMaxSidePx ||
      image.height_px > kMaxSidePx) {
    return invalid("the picture is " + std::to_string(image.width_px) + " x " +
                       std::to_string(image.height_px) + " pixels",
                   "both sides must be in 1.." + std::to_string(kMaxSidePx));
  }
  if (image.rotation_deg < 0 || image.rotation_deg > 270 || image.rotation_deg % 90 != 0) {
    return invalid("rotation_deg is " + std::to_string(image.rotation_deg),
                   "use 0, 90, 180 or 270");
  }
  const int64_t row_bytes = static_cast<int64_t>(image.width_px) * channels_of(image.format);
  EDGEPOSE_RETURN_IF_ERROR(
      validate(Plane{is_yuv(image.format) ? "luma plane" : "pixels", image.data, image.height_px,
                     row_bytes, image.row_stride_bytes, image.data_bytes}));
  return is_yuv(image.format) ? validate_chroma(image) : Status();
}

}  // namespace edgepose
