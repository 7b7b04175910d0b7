#ifndef EDGEPOSE_BUNDLE_H_
#define EDGEPOSE_BUNDLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "edgepose/engine.h"
#include "edgepose/spec.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose {

using Head = std::variant<SimccHead, BoxHead, RtmoHead>;

struct PipelineSettings {
  // kTopDown: roles "detector" and "pose". kPose: "pose" alone. kDetect: "detector" alone.
  // kOneStage: "one_stage".
  enum class Type { kTopDown, kPose, kDetect, kOneStage };
  Type type;
  int person_label;
  float box_score_threshold;
  float keypoint_score_threshold;
};

struct BundleModel {
  std::string name;  // for example "rtmpose-t"
  ModelFiles files;  // absolute paths, and the tensors in head order
  Preprocess preprocess;
  Head head;
};

// A picture and what the pipeline must give for it.
struct GoldenSpec {
  std::string picture_path;  // absolute; height_px * width_px * 3 bytes, BGR
  int width_px;
  int height_px;
  std::vector<BoxXyxy> boxes;  // for which `poses` was computed; empty where no role "pose" exists
  float tolerance_px;
  bool has_detections;
  std::vector<Detection> detections;
  bool has_poses;
  std::vector<std::vector<Keypoint>> poses;  // one per box, or per detection of a one-stage network
  std::vector<std::vector<float>> depths;  // of the poses, in metres; older and 2-D bundles: none
};

// What bundle.json states. With Bundle::open every path is absolute; parse_manifest leaves them
// relative.
struct Manifest {
  struct File {
    int64_t bytes;
    std::string sha256;
  };
  std::string digest;  // manifest_sha256, in hex
  std::string name;
  std::string backend;    // "ncnn", "openvino", "onnx", "rknn" or, in tests, "fake"
  std::string precision;  // "fp32", "fp16", "bf16", "int8" or "mixed"
  PipelineSettings pipeline;
  std::map<std::string, BundleModel> models;  // by role
  std::map<std::string, File> files;          // by file name
  std::optional<TrackingSettings> tracking;   // older bundles have none
  GoldenSpec golden;            // without the expected values until Bundle::open reads them
  std::string golden_expected;  // name of the file that holds them
};

// Checks everything that the text of a bundle.json alone can show;
// edgepose/bundle/schema/bundle-v1.json is the specification. Errors: kInvalidBundle,
// kChecksumMismatch (manifest_sha256), kUnsupported (a newer format_version).
Result<Manifest> parse_manifest(const std::string& text);

// A verified bundle folder: the manifest is valid and every file is there, unchanged, and alone.
class Bundle {
 public:
  // Errors: kIo (no such folder, or a file that cannot be read), and those of parse_manifest;
  // kInvalidBundle and kChecksumMismatch for its files.
  static Result<Bundle> open(const std::string& folder);

  const std::string& path() const { return path_; }                    // absolute
  const std::string& manifest_text() const { return manifest_text_; }  // the bytes of bundle.json
  // Stands for the whole bundle, in hex: manifest_sha256, as every EdgePose command shows it.
  const std::string& digest() const { return manifest_.digest; }
  const std::string& name() const { return manifest_.name; }
  const std::string& backend() const { return manifest_.backend; }
  const std::string& precision() const { return manifest_.precision; }
  const PipelineSettings& pipeline() const { return manifest_.pipeline; }
  const std::optional<TrackingSettings>& tracking() const { return manifest_.tracking; }
  const GoldenSpec& golden() const { return manifest_.golden; }
  const Manifest& manifest() const { return manifest_; }
  // The model of a role ("detector", "pose", "one_stage"), or null where the pipeline has none.
  const BundleModel* model(const std::string& role) const;
  // Those of the persons that the pipeline gives.
  const KeypointSet& keypoints() const;

 private:
  Bundle() = default;
  static Result<Bundle> read(const std::string& folder);

  std::string path_;
  std::string manifest_text_;
  Manifest manifest_;
};

// These read the JSON of one "preprocess", "head" or "tracking" member with the checks of
// parse_manifest. Error: kInvalidBundle; for "tracking", which callers write themselves,
// kInvalidArgument.
Result<Preprocess> parse_preprocess(const std::string& text);
Result<SimccHead> parse_simcc_head(const std::string& text);
Result<BoxHead> parse_box_head(const std::string& text);
Result<RtmoHead> parse_rtmo_head(const std::string& text);
Result<TrackingSettings> parse_tracking(const std::string& text);

}  // namespace edgepose

#endif  // EDGEPOSE_BUNDLE_H_
