#include "manifest_parts.h"

namespace edgepose {
namespace {

constexpr NumberRange kShare{0, 1};
constexpr NumberRange kDuration_s{0, 60};
constexpr NumberRange kTimeConstant_s{0, 60, true};
constexpr NumberRange kFrequency_hz{0, 1000, true};

SmoothingSettings read_smoothing(const JsonNode& node, JsonReader* reader) {
  SmoothingSettings s{};
  reader->expect_members(node,
                         {"min_cutoff_hz", "cutoff_per_speed", "derivative_cutoff_hz", "hold_s"});
  const auto number = [&](const char* name, const NumberRange& range) {
    return reader->number(reader->member(node, name), range);
  };
  s.min_cutoff_hz = number("min_cutoff_hz", kFrequency_hz);
  s.cutoff_per_speed = number("cutoff_per_speed", {0, 1000});
  s.derivative_cutoff_hz = number("derivative_cutoff_hz", kFrequency_hz);
  s.hold_s = number("hold_s", kDuration_s);
  return s;
}

}  // namespace

TrackingSettings read_tracking(const JsonNode& node, JsonReader* reader) {
  TrackingSettings t{};
  reader->expect_members(node, {"match_similarity", "keypoint_weight", "nms_oks", "birth_box_score",
                                "loss_keypoint_score", "max_lost_s", "max_prediction_s",
                                "velocity_time_s", "uncertainty_time_s", "pose_box_padding",
                                "pose_box_pull", "scene_change_levels", "smoothing"});
  const auto number = [&](const char* name, const NumberRange& range) {
    return reader->number(reader->member(node, name), range);
  };
  t.match_similarity = number("match_similarity", kShare);
  t.keypoint_weight = number("keypoint_weight", kShare);
  t.nms_oks = number("nms_oks", kShare);
  t.birth_box_score = number("birth_box_score", kShare);
  t.loss_keypoint_score = number("loss_keypoint_score", {0, 100});
  t.max_lost_s = number("max_lost_s", kDuration_s);
  t.max_prediction_s = number("max_prediction_s", kDuration_s);
  t.velocity_time_s = number("velocity_time_s", kTimeConstant_s);
  t.uncertainty_time_s = number("uncertainty_time_s", kTimeConstant_s);
  t.pose_box_padding = number("pose_box_padding", {1, 4});
  t.pose_box_pull = number("pose_box_pull", kShare);
  t.scene_change_levels = number("scene_change_levels", {0, 255, true});
  t.smoothing = read_smoothing(reader->member(node, "smoothing"), reader);
  return t;
}

}  // namespace edgepose
