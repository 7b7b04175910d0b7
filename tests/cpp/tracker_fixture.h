#ifndef EDGEPOSE_TESTS_CPP_TRACKER_FIXTURE_H_
#define EDGEPOSE_TESTS_CPP_TRACKER_FIXTURE_H_

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "edgepose/tracker.h"
#include "test_bundles.h"

namespace edgepose {

constexpr int64_t kFrame_ns = 33333333;
constexpr float kThreshold = 0.3F;
inline const std::vector<float> kSigmas(8, 0.07F);

// A figure 60 px wide and 120 px high; `bend` changes its posture.
inline Pose figure(float x_px, float y_px, float bend = 0, float box_score = 0.8F) {
  Pose pose;
  pose.box = {x_px - 30, y_px - 60, x_px + 30, y_px + 60};
  pose.box_score = box_score;
  for (int k = 0; k < 8; ++k) {
    const float side = k % 2 == 0 ? -1.0F : 1.0F;
    const float down = static_cast<float>(k / 2);
    pose.keypoints.push_back(
        {x_px + side * (8 + 5 * down) + bend * down, y_px - 50 + 33 * down, 0.9F});
  }
  return pose;
}

// The pose with x and y exchanged.
inline Pose transposed(Pose pose) {
  std::swap(pose.box.x1, pose.box.y1);
  std::swap(pose.box.x2, pose.box.y2);
  for (Keypoint& point : pose.keypoints) std::swap(point.x_px, point.y_px);
  return pose;
}

using Ids = std::vector<int64_t>;

class TrackerTest : public testing::Test {
 protected:
  std::vector<int64_t> frame(std::vector<Pose> poses,
                             Tracker::Source source = Tracker::Source::kDetected) {
    EXPECT_TRUE(tracker_.begin(time_ns_ += kFrame_ns, 640, 480).ok());
    poses_ = std::move(poses);
    poses_.resize(tracker_.update(source, poses_));
    std::vector<int64_t> ids;
    for (const Pose& pose : poses_) ids.push_back(pose.track_id);
    return ids;
  }

  Tracker tracker_{test_tracking(), kSigmas, kThreshold, false};
  int64_t time_ns_ = 0;
  std::vector<Pose> poses_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_TESTS_CPP_TRACKER_FIXTURE_H_
