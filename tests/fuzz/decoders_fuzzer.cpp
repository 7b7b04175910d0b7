// Network outputs of any value: no coordinate and no score that is given is anything but a finite
// number.

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bytes.h"
#include "edgepose/boxes.h"
#include "edgepose/bundle.h"
#include "edgepose/rtmo.h"
#include "edgepose/simcc.h"

namespace {

using namespace edgepose;

BundleModel model_of(const char* bundle, const char* role) {
  const auto opened =
      Bundle::open(std::string(EDGEPOSE_SOURCE_DIR) + "/tests/bundles/v1/" + bundle);
  fuzz::require(opened.ok(), "the test bundle opens");
  return *opened.value().model(role);
}

struct Heads {
  BundleModel detector = model_of("top_down", "detector");
  BundleModel pose = model_of("pose_3d", "pose");
  BundleModel one_stage = model_of("one_stage", "one_stage");
  std::unique_ptr<RtmoDecoder> rtmo;

  Heads() {
    auto decoder = RtmoDecoder::open(std::get<RtmoHead>(one_stage.head),
                                     one_stage.files.paths.at("dcc"), nullptr);
    fuzz::require(decoder.ok(), "the test decoder opens");
    rtmo = std::move(decoder).value();
  }
};

// Few values that matter, often, and any value at times.
float value_of(fuzz::Bytes* bytes) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kCommon[] = {0,    1,     -1,   0.5F,  4,     -4,     100,
                               -100, 1e30F, kInf, -kInf, 3e38F, -3e38F, -0.0F};
  const int choice = bytes->take<uint8_t>();
  if (choice < 14) return kCommon[choice];
  if (choice == 14) return std::numeric_limits<float>::quiet_NaN();
  if (choice < 24) return bytes->take<float>();
  return static_cast<float>(choice - 140) / 16;
}

std::vector<Tensor> outputs_of(const BundleModel& model, fuzz::Bytes* bytes) {
  std::vector<Tensor> outputs;
  for (const TensorSpec& spec : model.files.outputs) {
    std::vector<int64_t> dims = spec.dims;
    dims[0] = 1;
    Tensor tensor;
    tensor.resize(dims);
    for (int64_t i = 0; i < tensor.count(); ++i) tensor.data()[i] = value_of(bytes);
    outputs.push_back(std::move(tensor));
  }
  return outputs;
}

void require_finite(const std::vector<Detection>& detections, const std::vector<Keypoint>& points) {
  for (const Detection& d : detections) {
    for (const float value : {d.box.x1, d.box.y1, d.box.x2, d.box.y2, d.score})
      fuzz::require(std::isfinite(value), "a finite box");
  }
  for (const Keypoint& p : points) {
    for (const float value : {p.x_px, p.y_px, p.score})
      fuzz::require(std::isfinite(value), "a finite keypoint");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Heads heads;
  fuzz::Bytes bytes(data, size);
  const int kind = bytes.below(3);
  const InputTransform transform{0.25F + static_cast<float>(bytes.below(64)) / 8,
                                 0.25F + static_cast<float>(bytes.below(64)) / 8,
                                 static_cast<float>(bytes.below(4000) - 2000),
                                 static_cast<float>(bytes.below(4000) - 2000)};
  std::vector<Detection> detections;
  if (kind == 0) {
    const std::vector<Tensor> maps = outputs_of(heads.detector, &bytes);
    BoxScratch scratch;
    const Status status =
        decode_boxes({maps.data(), maps.size()}, 0, std::get<BoxHead>(heads.detector.head),
                     heads.detector.preprocess, transform, 640, 480, &scratch, &detections);
    fuzz::require(status.ok(), "boxes are decoded");
    require_finite(detections, {});
  } else if (kind == 1) {
    const std::vector<Tensor> rows = outputs_of(heads.pose, &bytes);
    const auto& head = std::get<SimccHead>(heads.pose.head);
    std::vector<Keypoint> points(head.keypoints.size());
    std::vector<float> z(points.size());
    const auto bins = [&](size_t o) { return static_cast<int>(rows[o].dim(2)); };
    decode_simcc(rows[0].data(), bins(0), rows[1].data(), bins(1), rows[2].data(), bins(2),
                 static_cast<int>(points.size()), head, transform, points.data(), z.data());
    require_finite({}, points);
    for (const float depth : z) fuzz::require(std::isfinite(depth), "a finite depth");
  } else {
    const std::vector<Tensor> maps = outputs_of(heads.one_stage, &bytes);
    std::vector<Keypoint> points;
    const Status status =
        heads.rtmo->decode({maps.data(), maps.size()}, 0, heads.one_stage.preprocess, transform,
                           640, 480, &detections, &points);
    fuzz::require(status.ok(), "persons are decoded");
    require_finite(detections, points);
  }
  return 0;
}
