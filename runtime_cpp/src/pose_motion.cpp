#include "pose_motion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "edgepose/tracker.h"

namespace edgepose {
namespace {

// Scores are summed over few points at most this far apart in one frame: a person seldom grows
// more.
constexpr float kMaxGrowth = 1.1F;
// A mean segment covers about half of a person's box (COCO).
constexpr float kAreaOfBox = 0.53F;

bool seen(const Keypoint& point, float threshold) {
  return point.score > 0 && point.score >= threshold;
}

float area_of(const BoxXyxy& box) {
  return std::max(0.0F, box.x2 - box.x1) * std::max(0.0F, box.y2 - box.y1);
}

// Of COCO, in its order.
constexpr std::array<const char*, 17> kBody = {
    "nose",           "left_eye",    "right_eye",   "left_ear",    "right_ear",   "left_shoulder",
    "right_shoulder", "left_elbow",  "right_elbow", "left_wrist",  "right_wrist", "left_hip",
    "right_hip",      "left_knee",   "right_knee",  "left_ankle",  "right_ankle"};

bool begins(const std::string& text, const char* with) { return text.rfind(with, 0) == 0; }

bool are_enough(size_t shared, size_t all) { return shared > 0 && shared * 4 >= all; }

}  // namespace

float oks(const Pose& a, const Pose& b, Span<const float> sigmas, float score_threshold,
          float widen, size_t points) {
  const size_t all = std::min({a.keypoints.size(), b.keypoints.size(), sigmas.size()});
  const size_t count = std::min(all, points);
  const float area = kAreaOfBox * (area_of(a.box) + area_of(b.box)) / 2;
  if (!(area > 0)) return -1;
  const float scale = 1 / (2 * area * widen * widen);
  float sum = 0;
  size_t shared = 0;
  for (size_t k = 0; k < count; ++k) {
    const Keypoint& p = a.keypoints[k];
    const Keypoint& q = b.keypoints[k];
    if (!seen(p, score_threshold) || !seen(q, score_threshold)) continue;
    const float dx = p.x_px - q.x_px;
    const float dy = p.y_px - q.y_px;
    const float variable = 2 * sigmas[k];
    sum += std::exp(-(dx * dx + dy * dy) * scale / (variable * variable));
    ++shared;
  }
  if (are_enough(shared, count)) return sum / static_cast<float>(shared);
  return count < all ? oks(a, b, sigmas, score_threshold, widen) : -1;
}

size_t body_points(const std::vector<std::string>& names) {
  if (names.size() < kBody.size() || !std::equal(kBody.begin(), kBody.end(), names.begin()))
    return names.size();
  const auto after = std::find_if(names.begin() + kBody.size(), names.end(), [](const auto& name) {
    return begins(name, "face") || begins(name, "left_hand") || begins(name, "right_hand");
  });
  return static_cast<size_t>(after - names.begin());
}

PoseMotion motion_between(const Pose& before, const Pose& after, size_t points,
                          float score_threshold) {
  const size_t count = std::min({before.keypoints.size(), after.keypoints.size(), points});
  float from_x = 0, from_y = 0, to_x = 0, to_y = 0;
  size_t shared = 0;
  const auto both = [&](size_t k) {
    return seen(before.keypoints[k], score_threshold) && seen(after.keypoints[k], score_threshold);
  };
  for (size_t k = 0; k < count; ++k) {
    if (!both(k)) continue;
    from_x += before.keypoints[k].x_px;
    from_y += before.keypoints[k].y_px;
    to_x += after.keypoints[k].x_px;
    to_y += after.keypoints[k].y_px;
    ++shared;
  }
  const size_t all = std::min(before.keypoints.size(), after.keypoints.size());
  if (!are_enough(shared, count) && count < all)
    return motion_between(before, after, all, score_threshold);
  if (!are_enough(shared, count)) {
    const BoxXyxy& p = before.box;
    const BoxXyxy& q = after.box;
    return {(p.x1 + p.x2) / 2, (p.y1 + p.y2) / 2, (q.x1 + q.x2 - p.x1 - p.x2) / 2,
            (q.y1 + q.y2 - p.y1 - p.y2) / 2, 1};
  }
  const float n = static_cast<float>(shared);
  from_x /= n;
  from_y /= n;
  to_x /= n;
  to_y /= n;
  float spread_before = 0, spread_after = 0;
  for (size_t k = 0; k < count; ++k) {
    if (!both(k)) continue;
    spread_before +=
        std::hypot(before.keypoints[k].x_px - from_x, before.keypoints[k].y_px - from_y);
    spread_after += std::hypot(after.keypoints[k].x_px - to_x, after.keypoints[k].y_px - to_y);
  }
  float growth = spread_before > 0 ? spread_after / spread_before : 1;
  growth = std::min(std::max(growth, 1 / kMaxGrowth), kMaxGrowth);
  return {from_x, from_y, to_x - from_x, to_y - from_y, growth};
}

BoxXyxy followed_box(const BoxXyxy& before, const PoseMotion& motion, const Pose& after,
                     size_t points, float score_threshold, const TrackingSettings& settings) {
  const float to_x = motion.from_x + motion.x_px;
  const float to_y = motion.from_y + motion.y_px;
  BoxXyxy box = {to_x + motion.growth * (before.x1 - motion.from_x),
                 to_y + motion.growth * (before.y1 - motion.from_y),
                 to_x + motion.growth * (before.x2 - motion.from_x),
                 to_y + motion.growth * (before.y2 - motion.from_y)};
  BoxXyxy around;
  const size_t count = std::min(after.keypoints.size(), points);
  size_t shared = 0;
  for (size_t k = 0; k < count; ++k) {
    const Keypoint& point = after.keypoints[k];
    if (!seen(point, score_threshold)) continue;
    if (shared++ == 0) around = {point.x_px, point.y_px, point.x_px, point.y_px};
    around = {std::min(around.x1, point.x_px), std::min(around.y1, point.y_px),
              std::max(around.x2, point.x_px), std::max(around.y2, point.y_px)};
  }
  if (!are_enough(shared, count)) {
    const size_t all = after.keypoints.size();
    return count < all ? followed_box(before, motion, after, all, score_threshold, settings) : box;
  }
  const float more_x = (around.x2 - around.x1) * (settings.pose_box_padding - 1) / 2;
  const float more_y = (around.y2 - around.y1) * (settings.pose_box_padding - 1) / 2;
  const auto pull = [&](float* edge, float target) {
    *edge += settings.pose_box_pull * (target - *edge);
  };
  pull(&box.x1, around.x1 - more_x);
  pull(&box.y1, around.y1 - more_y);
  pull(&box.x2, around.x2 + more_x);
  pull(&box.y2, around.y2 + more_y);
  return box;
}

void shift(float x_px, float y_px, Pose* pose) {
  pose->box = {pose->box.x1 + x_px, pose->box.y1 + y_px, pose->box.x2 + x_px, pose->box.y2 + y_px};
  for (Keypoint& point : pose->keypoints) {
    point.x_px += x_px;
    point.y_px += y_px;
  }
}

float mean_score(const std::vector<Keypoint>& keypoints, size_t points) {
  const size_t count = std::min(keypoints.size(), points);
  float sum = 0;
  for (size_t k = 0; k < count; ++k) sum += keypoints[k].score;
  return count == 0 ? 0 : sum / static_cast<float>(count);
}

}  // namespace edgepose
