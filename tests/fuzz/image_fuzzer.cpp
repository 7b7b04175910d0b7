// Pictures of any description, in planes of exactly the length that they state: whatever is
// accepted is read inside them, and gives finite network input.

#include <vector>

#include "bytes.h"
#include "edgepose/preprocess.h"
#include "scene_change.h"

namespace {

constexpr int kMaxPlaneBytes = 4096;

edgepose::Preprocess spec_of(edgepose::fuzz::Bytes* bytes) {
  edgepose::Preprocess spec{};
  spec.resize = static_cast<edgepose::Preprocess::Resize>(bytes->below(3));
  spec.input_height_px = 1 + bytes->below(48);
  spec.input_width_px = 1 + bytes->below(48);
  spec.rgb = bytes->flag();
  spec.mean = {123.5F, 116, 103};
  spec.std_dev = {58, 57, 56};
  spec.pad_value = {114, 0, 255};
  spec.box_padding = spec.resize == edgepose::Preprocess::Resize::kAffine ? 1.25F : 1;
  return spec;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace edgepose;
  fuzz::Bytes bytes(data, size);
  const Preprocess spec = spec_of(&bytes);
  ImageView image;
  image.format = static_cast<PixelFormat>(bytes.below(9) - 1);
  image.colour = static_cast<YuvColour>(bytes.below(5) - 1);
  image.rotation_deg = bytes.flag() ? bytes.below(4) * 90 : bytes.take<int16_t>();
  image.mirrored = bytes.flag();
  image.width_px = bytes.take<int16_t>();
  image.height_px = bytes.take<int16_t>();
  image.row_stride_bytes = bytes.flag() ? bytes.take<int16_t>() : bytes.take<int64_t>();
  image.chroma_row_stride_bytes = bytes.flag() ? bytes.take<int16_t>() : bytes.take<int64_t>();
  image.chroma_pixel_stride_bytes = bytes.flag() ? bytes.below(4) : bytes.take<int64_t>();
  std::vector<uint8_t> planes[3];
  for (auto& plane : planes) plane.resize(static_cast<size_t>(1 + bytes.below(kMaxPlaneBytes)));
  for (auto& plane : planes) {
    for (uint8_t& value : plane) value = bytes.take<uint8_t>();
  }
  image.data = planes[0].data();
  image.u = planes[1].data();
  image.v = planes[2].data();
  image.data_bytes = planes[0].size();
  image.u_bytes = planes[1].size();
  image.v_bytes = planes[2].size();
  BoxXyxy box;
  for (float* edge : {&box.x1, &box.y1, &box.x2, &box.y2})
    *edge = bytes.flag() ? static_cast<float>(bytes.take<int16_t>()) / 16 : bytes.take<float>();
  if (!validate(image).ok()) return 0;

  SceneChange scene;
  fuzz::require(!scene.is_cut(image, 30) && !scene.is_cut(image, 30), "a still picture has no cut");
  std::vector<float> output(static_cast<size_t>(spec.input_height_px * spec.input_width_px) * 3,
                            std::nanf(""));
  InputTransform transform;
  const bool whole = spec.resize != Preprocess::Resize::kAffine && bytes.flag();
  if (!preprocess(image, whole ? nullptr : &box, spec, output.data(), &transform).ok()) return 0;
  for (const float value : output) fuzz::require(std::isfinite(value), "every input is written");
  for (const float value :
       {transform.scale_x, transform.scale_y, transform.offset_x, transform.offset_y}) {
    fuzz::require(std::isfinite(value), "a finite transform");
  }
  return 0;
}
