#include "golden.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "edgepose/boxes.h"

namespace edgepose {
namespace {

// A detection this close to the threshold may fall to either side of it.
constexpr float kScoreMargin = 0.1F;
constexpr float kSameBoxIou = 0.8F;

// The best counterpart of a detection, or null.
const Detection* counterpart(const Detection& one, const std::vector<Detection>& others) {
  const Detection* best = nullptr;
  float best_iou = kSameBoxIou;
  for (const Detection& other : others) {
    const float overlap = other.label == one.label ? iou(one.box, other.box) : 0.0F;
    if (overlap >= best_iou) {
      best = &other;
      best_iou = overlap;
    }
  }
  return best;
}

// Below it a detection may be missing, and nobody looks: the pipeline's threshold, or the decoder's.
float least_score(const Bundle& bundle) {
  float least = bundle.pipeline().box_score_threshold;
  if (const BundleModel* detector = bundle.model("detector"))
    least = std::max(least, std::get<BoxHead>(detector->head).score_threshold);
  if (const BundleModel* one_stage = bundle.model("one_stage"))
    least = std::max(least, std::get<RtmoHead>(one_stage->head).score_threshold);
  return least;
}

void compare_detections(const GoldenSpec& golden, float threshold,
                        const std::vector<Detection>& detections, GoldenReport* report) {
  double sum_px = 0;
  for (const Detection& expected : golden.detections) {
    if (expected.score < threshold + kScoreMargin) continue;
    ++report->detections_expected;
    const Detection* found = counterpart(expected, detections);
    if (found == nullptr) continue;
    ++report->detections_matched;
    const float differences[] = {found->box.x1 - expected.box.x1, found->box.y1 - expected.box.y1,
                                 found->box.x2 - expected.box.x2, found->box.y2 - expected.box.y2};
    for (const float difference : differences) {
      sum_px += std::abs(difference);
      report->box_max_px = std::max(report->box_max_px, static_cast<double>(std::abs(difference)));
    }
  }
  for (const Detection& detection : detections) {
    const bool confident = detection.score >= threshold + kScoreMargin;
    if (confident && counterpart(detection, golden.detections) == nullptr)
      ++report->detections_unexpected;
  }
  if (report->detections_matched > 0)
    report->box_mean_px = sum_px / (4.0 * report->detections_matched);
}

// The pose that should equal golden pose i: for given boxes the i-th; for the persons of a
// one-stage network the one whose box is that of golden detection i, or null.
const Pose* counterpart_pose(const GoldenSpec& golden, size_t i,
                             const std::vector<Detection>& detections,
                             const std::vector<Pose>& poses) {
  if (!golden.boxes.empty()) return &poses[i];
  const Detection* found = counterpart(golden.detections[i], detections);
  return found == nullptr ? nullptr : &poses[static_cast<size_t>(found - detections.data())];
}

// Pixels of the network's input in a metre of depth: a bin of it is as long as one of x and y.
double depth_px_per_m(const BundleModel& pose) {
  const auto& head = std::get<SimccHead>(pose.head);
  const auto bins = static_cast<double>(pose.files.outputs[2].dims[2]);
  return bins / static_cast<double>(head.split_ratio) / 2 / static_cast<double>(head.z_range);
}

// The upper one of two in the middle.
float median(std::vector<float> scores) {
  const auto middle = scores.begin() + static_cast<ptrdiff_t>(scores.size() / 2);
  std::nth_element(scores.begin(), middle, scores.end());
  return *middle;
}

// For each joint the score from which on a point of it is compared: the median of all or, where a
// seen point may have less, of its joint. As confident() in converters/decoded.py.
std::vector<float> least_scores(const std::vector<std::vector<Keypoint>>& poses, float seen) {
  if (poses.empty()) return {};
  std::vector<float> all;
  std::vector<std::vector<float>> of_joint(poses[0].size());
  for (const std::vector<Keypoint>& pose : poses) {
    for (size_t k = 0; k < pose.size(); ++k) {
      all.push_back(pose[k].score);
      of_joint[k].push_back(pose[k].score);
    }
  }
  std::vector<float> least;
  for (const std::vector<float>& scores : of_joint) {
    least.push_back(std::min(median(all), std::max(median(scores), seen)));
  }
  return least;
}

void compare_poses(const Bundle& bundle, const std::vector<Detection>& detections,
                   const std::vector<Pose>& poses, GoldenReport* report) {
  const GoldenSpec& golden = bundle.golden();
  const std::vector<float> least =
      least_scores(golden.poses, bundle.pipeline().keypoint_score_threshold);
  const bool has_depths = !golden.depths.empty();
  const double px_per_m = has_depths ? depth_px_per_m(*bundle.model("pose")) : 0;
  double sum_px = 0;
  double depth_sum_px = 0;
  for (size_t i = 0; i < golden.poses.size(); ++i) {
    const Pose* pose = counterpart_pose(golden, i, detections, poses);
    if (pose == nullptr) continue;
    for (size_t k = 0; k < golden.poses[i].size(); ++k) {
      const Keypoint& expected = golden.poses[i][k];
      if (expected.score < least[k] || expected.score <= 0) continue;
      const Keypoint& found = pose->keypoints[k];
      const double distance_px = std::hypot(found.x_px - expected.x_px, found.y_px - expected.y_px);
      sum_px += distance_px;
      double depth_px = 0;
      if (has_depths)
        depth_px = px_per_m * std::abs(static_cast<double>(pose->z[k] - golden.depths[i][k]));
      depth_sum_px += depth_px;
      report->keypoint_max_px = std::max({report->keypoint_max_px, distance_px, depth_px});
      ++report->keypoints_compared;
    }
  }
  if (report->keypoints_compared > 0)
    report->keypoint_mean_px = std::max(sum_px, depth_sum_px) / report->keypoints_compared;
}

}  // namespace

Result<std::vector<uint8_t>> read_golden_picture(const GoldenSpec& golden) {
  std::vector<uint8_t> pixels(static_cast<size_t>(golden.width_px) *
                              static_cast<size_t>(golden.height_px) * 3);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(golden.picture_path.c_str(), "rb"), std::fclose);
  if (file == nullptr || std::fread(pixels.data(), 1, pixels.size(), file.get()) != pixels.size()) {
    return Status(Code::kIo, golden.picture_path + " cannot be read");
  }
  return pixels;
}

GoldenReport compare_with_golden(const Bundle& bundle, const std::vector<Detection>& detections,
                                 const std::vector<Pose>& poses) {
  const GoldenSpec& golden = bundle.golden();
  GoldenReport report;
  report.tolerance_px = golden.tolerance_px;
  if (golden.has_detections)
    compare_detections(golden, least_score(bundle), detections, &report);
  // A missing person of a one-stage network counts as an unmatched detection already.
  bool same_points = true;
  if (golden.has_poses) {
    same_points =
        golden.poses.size() == (golden.boxes.empty() ? golden.detections.size() : poses.size());
    for (const Pose& pose : poses) {
      same_points =
          same_points && (golden.poses.empty() || pose.keypoints.size() == golden.poses[0].size());
    }
    if (same_points) compare_poses(bundle, detections, poses, &report);
  }
  report.passed = same_points && report.detections_matched == report.detections_expected &&
                  report.detections_unexpected == 0 && report.box_mean_px <= golden.tolerance_px &&
                  report.keypoint_mean_px <= golden.tolerance_px;
  return report;
}

}  // namespace edgepose
