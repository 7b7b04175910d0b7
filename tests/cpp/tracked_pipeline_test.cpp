#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "edgepose/pipeline.h"
#include "test_bundles.h"

namespace edgepose {
namespace {

constexpr int64_t kFrame_ns = 40000000;

TEST(TrackedPipelineTest, ARestingPictureKeepsItsPersonsAndTheirPlaces) {
  for (const char* name : {"top_down", "pose", "pose_3d", "detect", "one_stage"}) {
    const auto plain = open_pipeline(test_bundle(name), 1);
    const auto tracked = open_tracking(test_bundle(name), 1, true);
    ASSERT_NE(plain, nullptr);
    ASSERT_NE(tracked, nullptr);
    const TestPicture picture(64, 48, 1);
    std::vector<Pose> expected, poses;
    ASSERT_TRUE(plain->process(picture.view(), 0, &expected).ok());
    std::vector<int64_t> ids;
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(tracked->process(picture.view(), i * kFrame_ns, &poses).ok());
      ASSERT_FALSE(poses.empty()) << name;
      ASSERT_LE(poses.size(), expected.size());
      std::vector<int64_t> now;
      for (const Pose& pose : poses) {
        now.push_back(pose.track_id);
        EXPECT_GT(pose.track_id, 0);
        const auto same = [&](const Pose& other) {
          return other.box.x1 == pose.box.x1 && other.box.y2 == pose.box.y2 && other.z == pose.z &&
                 (pose.keypoints.empty() ||
                  std::abs(other.keypoints[0].x_px - pose.keypoints[0].x_px) < 1e-3F);
        };
        EXPECT_TRUE(std::any_of(expected.begin(), expected.end(), same)) << name;
      }
      if (i > 0) EXPECT_EQ(now, ids) << name;
      ids = now;
    }
    EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()).size(), ids.size());
  }
}

TEST(TrackedPipelineTest, TheDetectorRunsOnEveryNthFrameOnly) {
  PipelineOptions options;
  options.track = true;
  options.detect_every = 4;
  options.tracking = test_tracking();
  options.tracking->loss_keypoint_score = 0;  // the fake network's scores mean nothing
  options.tracking->match_similarity = 0;
  auto opened = Pipeline::open(test_bundle("top_down"), options);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const auto pipeline = std::move(opened).value();
  const TestPicture picture(64, 48, 1);
  std::vector<Pose> poses;
  std::string detections;
  for (int i = 0; i < 9; ++i) {
    StageTimings timings;
    ASSERT_TRUE(pipeline->process(picture.view(), i * kFrame_ns, &poses, &timings).ok());
    detections += timings.detector_ns > 0 ? 'd' : '-';
  }
  EXPECT_EQ(detections.substr(0, 1), "d");
  EXPECT_GE(std::count(detections.begin(), detections.end(), '-'), 4) << detections;
  EXPECT_GE(std::count(detections.begin(), detections.end(), 'd'), 3) << detections;
}

TEST(TrackedPipelineTest, ACutGivesNewIdsAndADetection) {
  const auto pipeline = open_tracking(test_bundle("top_down"), 1, true, 100);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture noise(64, 48, 1);
  std::vector<uint8_t> white(64 * 48 * 3, 255);
  ImageView blank = noise.view();
  blank.data = white.data();
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process(noise.view(), 1, &poses).ok());
  ASSERT_FALSE(poses.empty());
  const int64_t first = poses[0].track_id;
  StageTimings timings;
  ASSERT_TRUE(pipeline->process(blank, 2, &poses, &timings).ok());
  EXPECT_GT(timings.detector_ns, 0);
  ASSERT_TRUE(pipeline->process(noise.view(), 3, &poses, &timings).ok());
  EXPECT_GT(timings.detector_ns, 0);
  ASSERT_FALSE(poses.empty());
  EXPECT_GT(poses[0].track_id, first);
}

TEST(TrackedPipelineTest, GivenBoxesComeBackInTheirOrderWithIds) {
  const auto pipeline = open_tracking(test_bundle("pose"), 1, true);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  const BoxXyxy boxes[] = {{1, 1, 20, 40}, {30, 1, 60, 40}};
  const BoxXyxy swapped[] = {boxes[1], boxes[0]};
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process_boxes(picture.view(), 1, {boxes, 2}, &poses).ok());
  ASSERT_EQ(poses.size(), 2U);
  EXPECT_EQ(poses[0].track_id, 1);
  EXPECT_EQ(poses[1].track_id, 2);
  ASSERT_TRUE(pipeline->process_boxes(picture.view(), 2, {swapped, 2}, &poses).ok());
  EXPECT_EQ(poses[0].track_id, 2);
  EXPECT_EQ(poses[1].track_id, 1);
  EXPECT_EQ(poses[0].box.x1, boxes[1].x1);
}

TEST(TrackedPipelineTest, TimeMustRiseUntilAReset) {
  const auto pipeline = open_tracking(test_bundle("top_down"), 1, true, 3);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process(picture.view(), 1000, &poses).ok());
  for (const int64_t wrong : {int64_t{1000}, int64_t{999}, int64_t{-5}}) {
    const Status status = pipeline->process(picture.view(), wrong, &poses);
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_NE(status.message().find("time"), std::string::npos);
  }
  EXPECT_TRUE(pipeline->process(picture.view(), 1001, &poses).ok());
  ASSERT_TRUE(pipeline->reset().ok());
  EXPECT_TRUE(pipeline->process(picture.view(), 0, &poses).ok());
}

TEST(TrackedPipelineTest, OptionsAreChecked) {
  const auto code = [](const char* bundle, const PipelineOptions& options) {
    return Pipeline::open(test_bundle(bundle), options).status().code();
  };
  PipelineOptions options;
  options.track = true;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument) << "the bundle has no settings";
  options.tracking = test_tracking();
  EXPECT_EQ(code("top_down", options), Code::kOk);
  options.detect_every = 0;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  options.detect_every = 2;
  EXPECT_EQ(code("top_down", options), Code::kOk);
  EXPECT_EQ(code("one_stage", options), Code::kInvalidArgument);
  EXPECT_EQ(code("pose", options), Code::kInvalidArgument);
  options.track = false;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  options.detect_every = 1;
  options.smooth = true;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
}

}  // namespace
}  // namespace edgepose
