#include "pose_motion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "edgepose/tracker.h"
#include "tracker_fixture.h"

namespace edgepose {
namespace {

Pose hidden(Pose pose, size_t from, size_t to) {
  for (size_t k = from; k < to; ++k) pose.keypoints[k] = {900, 900, 0.1F};
  return pose;
}

TEST(OksTest, CountsPointsThatBothPosesHave) {
  const Pose pose = figure(100, 200);
  EXPECT_FLOAT_EQ(oks(hidden(pose, 0, 6), pose, kSigmas, kThreshold), 1) << "a quarter is enough";
  EXPECT_EQ(oks(pose, hidden(pose, 1, 8), kSigmas, kThreshold), -1);
  Pose faint = pose;
  for (Keypoint& point : faint.keypoints) point.score = kThreshold;
  EXPECT_FLOAT_EQ(oks(pose, faint, kSigmas, kThreshold), 1);
  for (Keypoint& point : faint.keypoints) point.score = 0;
  EXPECT_EQ(oks(pose, faint, kSigmas, 0), -1) << "0 is never seen";
  Pose flat = pose;
  flat.box = {};
  EXPECT_EQ(oks(flat, flat, kSigmas, kThreshold), -1) << "no area";
}

TEST(OksTest, WidensTheSigmas) {
  const double area = 0.53 * 60 * 120;
  EXPECT_NEAR(oks(figure(100, 200), figure(115, 200), kSigmas, kThreshold, 2),
              std::exp(-225.0 / (2 * area * 0.14 * 0.14 * 4)), 1e-5);
}

TEST(OksTest, EveryPointHasItsOwnSigma) {
  const std::vector<float> sigmas = {0.02F, 0.1F};
  Pose pose = figure(100, 200);
  pose.keypoints.resize(sigmas.size());
  const double area = 0.53 * 60 * 120;
  for (size_t k = 0; k < sigmas.size(); ++k) {
    Pose moved = pose;
    moved.keypoints[k].x_px += 3;
    const double variable = 2 * sigmas[k];
    EXPECT_NEAR(oks(pose, moved, sigmas, kThreshold),
                (std::exp(-9.0 / (2 * area * variable * variable)) + 1) / 2, 1e-5)
        << k;
  }
}

TEST(PoseMotionTest, IsThatOfThePointsThatBothPosesHave) {
  const Pose before = figure(100, 200), after = figure(110, 205);
  for (const bool first : {false, true}) {
    const PoseMotion motion = motion_between(first ? hidden(before, 0, 2) : before,
                                             first ? after : hidden(after, 0, 2), 8, kThreshold);
    EXPECT_NEAR(motion.x_px, 10, 1e-3);
    EXPECT_NEAR(motion.y_px, 5, 1e-3);
    EXPECT_NEAR(motion.growth, 1, 1e-5);
  }
}

TEST(PoseMotionTest, IsThatOfTheBoxesWithoutPoints) {
  Pose before, after;
  before.box = {0, 0, 10, 20};
  after.box = {10, 5, 30, 45};
  const PoseMotion motion = motion_between(before, after, 8, kThreshold);
  EXPECT_EQ(motion.from_x, 5);
  EXPECT_EQ(motion.from_y, 10);
  EXPECT_EQ(motion.x_px, 15);
  EXPECT_EQ(motion.y_px, 15);
  EXPECT_EQ(motion.growth, 1);
}

TEST(PoseMotionTest, PointsInOnePlaceDoNotGrow) {
  Pose pose = figure(100, 200);
  for (Keypoint& point : pose.keypoints) point = pose.keypoints[0];
  EXPECT_EQ(motion_between(pose, pose, 8, kThreshold).growth, 1);
}

TEST(PoseMotionTest, AFollowedBoxIsPulledByEnoughPointsOnly) {
  TrackingSettings settings = test_tracking();
  settings.pose_box_pull = 1;
  settings.pose_box_padding = 2;
  const PoseMotion motion = {100, 200, 10, 5, 1.05F};
  const BoxXyxy moved = followed_box({70, 140, 130, 260}, motion, hidden(figure(110, 205), 1, 8),
                                     8, kThreshold, settings);
  EXPECT_FLOAT_EQ(moved.x1, 110 - 1.05F * 30);
  EXPECT_FLOAT_EQ(moved.y1, 205 - 1.05F * 60);
  EXPECT_FLOAT_EQ(moved.x2, 110 + 1.05F * 30);
  EXPECT_FLOAT_EQ(moved.y2, 205 + 1.05F * 60);
  // The points span 46 by 99 px around (110, 204.5).
  const BoxXyxy pulled =
      followed_box({70, 140, 130, 260}, motion, figure(110, 205), 8, kThreshold, settings);
  EXPECT_FLOAT_EQ(pulled.x1, 110 - 46);
  EXPECT_FLOAT_EQ(pulled.y1, 204.5F - 99);
  EXPECT_FLOAT_EQ(pulled.x2, 110 + 46);
  EXPECT_FLOAT_EQ(pulled.y2, 204.5F + 99);
}

// Of a face in close-up the body is out of sight.
TEST(PoseMotionTest, WithoutABodyAllPointsCount) {
  Pose before = hidden(figure(100, 200), 0, 8), after = before;
  for (int i = 0; i < 40; ++i) {
    const float x = 80 + static_cast<float>(i), y = 180 + static_cast<float>(i % 5);
    before.keypoints.push_back({x, y, 0.9F});
    after.keypoints.push_back({x + 10, y, 0.9F});
  }
  const PoseMotion motion = motion_between(before, after, 8, kThreshold);
  EXPECT_NEAR(motion.x_px, 10, 1e-3);
  TrackingSettings settings = test_tracking();
  settings.pose_box_pull = 1;
  settings.pose_box_padding = 1;
  const BoxXyxy box = followed_box(before.box, motion, after, 8, kThreshold, settings);
  EXPECT_FLOAT_EQ(box.x1, 90);
  EXPECT_FLOAT_EQ(box.x2, 129);
}

TEST(OksTest, WithoutABodyAllPointsCount) {
  const std::vector<float> sigmas(48, 0.05F);
  Pose one = hidden(figure(100, 200), 1, 8), other = one;
  for (int i = 0; i < 40; ++i) {
    one.keypoints.push_back({80 + static_cast<float>(i), 180, 0.9F});
    other.keypoints.push_back({80 + static_cast<float>(i), 180, 0.9F});
  }
  EXPECT_FLOAT_EQ(oks(one, other, sigmas, kThreshold, 1, 8), 1);
  EXPECT_EQ(oks(one, hidden(other, 8, 48), sigmas, kThreshold, 1, 8), -1);
  // Where the body is seen it decides alone.
  one = figure(100, 200);
  one.keypoints.resize(48, {0, 0, 0.9F});
  other = figure(100, 200);
  other.keypoints.resize(48, {300, 300, 0.9F});
  EXPECT_FLOAT_EQ(oks(one, other, sigmas, kThreshold, 1, 8), 1);
}

TEST(PoseMotionTest, AShiftMovesBoxAndPoints) {
  Pose pose = figure(100, 200);
  shift(3, -4, &pose);
  const Pose expected = figure(103, 196);
  EXPECT_EQ(pose.box.x1, expected.box.x1);
  EXPECT_EQ(pose.box.y2, expected.box.y2);
  for (size_t k = 0; k < 8; ++k) {
    EXPECT_EQ(pose.keypoints[k].x_px, expected.keypoints[k].x_px);
    EXPECT_EQ(pose.keypoints[k].y_px, expected.keypoints[k].y_px);
  }
}

TEST(PoseMotionTest, NoPointsHaveTheScoreZero) {
  EXPECT_EQ(mean_score({}, 0), 0);
  EXPECT_EQ(mean_score({{0, 0, 0.5F}}, 0), 0);
  EXPECT_FLOAT_EQ(mean_score({{0, 0, 0.5F}, {0, 0, 0.25F}}, 2), 0.375F);
  EXPECT_FLOAT_EQ(mean_score({{0, 0, 0.5F}, {0, 0, 0.25F}}, 1), 0.5F);
}

std::vector<std::string> body() {
  return {"nose",           "left_eye",   "right_eye",   "left_ear",    "right_ear",
          "left_shoulder",  "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
          "right_wrist",    "left_hip",   "right_hip",   "left_knee",   "right_knee",
          "left_ankle",     "right_ankle"};
}

TEST(BodyPointsTest, AreThoseBeforeFaceAndHands) {
  std::vector<std::string> names = body();
  EXPECT_EQ(body_points(names), 17U);
  names.insert(names.end(), {"left_big_toe", "right_heel"});
  EXPECT_EQ(body_points(names), 19U);
  names.insert(names.end(), {"face-0", "face-1", "left_hand_root"});
  EXPECT_EQ(body_points(names), 19U);
  std::vector<std::string> hands = body();
  hands.insert(hands.end(), {"right_hand_root", "right_thumb1"});
  EXPECT_EQ(body_points(hands), 17U);
}

TEST(BodyPointsTest, AreAllOfOtherSets) {
  EXPECT_EQ(body_points({}), 0U);
  EXPECT_EQ(body_points({"left_hand_root", "left_thumb1"}), 2U);
  std::vector<std::string> other = body();
  other[3] = "left_horn";
  other.push_back("face-0");
  EXPECT_EQ(body_points(other), 18U);
}

// A standing person lifts the hands: 42 of 65 points move up and together.
TEST(PoseMotionTest, HandsDoNotMoveTheirPerson) {
  Pose before = figure(100, 200), after = figure(100, 200);
  for (int i = 0; i < 40; ++i) {
    before.keypoints.push_back({100, 250 + static_cast<float>(i % 5), 0.9F});
    after.keypoints.push_back({100, 150 + static_cast<float>(i % 5), 0.9F});
  }
  const PoseMotion motion = motion_between(before, after, 8, kThreshold);
  EXPECT_EQ(motion.y_px, 0);
  EXPECT_EQ(motion.growth, 1);
  TrackingSettings settings = test_tracking();
  settings.pose_box_pull = 1;
  const BoxXyxy box = followed_box(before.box, motion, after, 8, kThreshold, settings);
  const BoxXyxy without =
      followed_box(before.box, motion, figure(100, 200), 8, kThreshold, settings);
  EXPECT_EQ(box.y1, without.y1);
  EXPECT_EQ(box.y2, without.y2);
}

}  // namespace
}  // namespace edgepose
