#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <utility>
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
      if (i > 0) {
        EXPECT_EQ(now, ids) << name;
      }
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

// 'd' for a frame that a detection counts in, '-' for one that only follows.
std::string detections_of(Pipeline* pipeline, int frames, int64_t* time_ns,
                          std::vector<std::vector<Pose>>* all = nullptr, int pause_ms = 0) {
  const TestPicture picture(64, 48, 1);
  std::string shown;
  for (int i = 0; i < frames; ++i) {
    StageTimings timings;
    std::vector<Pose> poses;
    const Status status =
        pipeline->process(picture.view(), *time_ns += kFrame_ns, &poses, &timings);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(timings.detector_ns > 0, timings.detector_decode_ns > 0);
    shown += timings.detector_ns > 0 ? 'd' : '-';
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    if (all != nullptr) all->push_back(poses);
  }
  return shown;
}

PipelineOptions delayed(int detect_every, int detect_delay) {
  PipelineOptions options;
  options.track = true;
  options.detect_every = detect_every;
  options.detect_delay = detect_delay;
  options.tracking = test_tracking();
  options.tracking->loss_keypoint_score = 0;  // the fake network's scores mean nothing
  options.tracking->match_similarity = 0;
  options.tracking->birth_box_score = 0;
  options.tracking->nms_oks = 1;
  return options;
}

std::unique_ptr<Pipeline> open_delayed(int detect_every, int detect_delay) {
  auto opened = Pipeline::open(test_bundle("top_down"), delayed(detect_every, detect_delay));
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return opened.ok() ? std::move(opened).value() : nullptr;
}

TEST(TrackedPipelineTest, ADelayedDetectionCountsInTheFrameThatWasAskedFor) {
  // The first frame has nobody to follow and waits. With 4 and 1, 2 a second detection confirms a
  // new person: it begins in the frame after the first one counted.
  const std::pair<std::pair<int, int>, const char*> cases[] = {{{1, 1}, "d-ddddddd"},
                                                               {{4, 1}, "d----d-d--"},
                                                               {{4, 2}, "d-----d--d-"},
                                                               {{4, 4}, "d-------d---d"}};
  for (const auto& [options, expected] : cases) {
    const auto pipeline = open_delayed(options.first, options.second);
    ASSERT_NE(pipeline, nullptr);
    int64_t time_ns = 0;
    const int frames = static_cast<int>(std::string(expected).size());
    EXPECT_EQ(detections_of(pipeline.get(), frames, &time_ns), expected)
        << options.first << ", " << options.second;
  }
}

TEST(TrackedPipelineTest, ADelayedDetectionDoesNotDependOnTheTimeItTakes) {
  // Without a pause the detector is seldom done when it is asked, with one it always is.
  std::vector<std::vector<Pose>> runs[2];
  for (const int pause_ms : {0, 5}) {
    const auto pipeline = open_tracking(test_bundle("top_down"), 2, true, 3, 2);
    ASSERT_NE(pipeline, nullptr);
    int64_t time_ns = 0;
    detections_of(pipeline.get(), 20, &time_ns, &runs[pause_ms > 0 ? 1 : 0], pause_ms);
  }
  ASSERT_EQ(runs[0].size(), runs[1].size());
  for (size_t i = 0; i < runs[0].size(); ++i) {
    ASSERT_EQ(runs[0][i].size(), runs[1][i].size()) << i;
    for (size_t p = 0; p < runs[0][i].size(); ++p) {
      EXPECT_EQ(runs[0][i][p].track_id, runs[1][i][p].track_id);
      EXPECT_EQ(runs[0][i][p].box.x1, runs[1][i][p].box.x1);
      EXPECT_EQ(runs[0][i][p].keypoints[0].x_px, runs[1][i][p].keypoints[0].x_px);
    }
  }
}

TEST(TrackedPipelineTest, ARunningDetectionIsForgottenWhereTheVideoBreaksOff) {
  const auto pipeline = open_delayed(4, 3);
  ASSERT_NE(pipeline, nullptr);
  int64_t time_ns = 0;
  const auto run_into = [&] { EXPECT_EQ(detections_of(pipeline.get(), 6, &time_ns), "d-----"); };
  run_into();  // begun with the fifth frame
  ASSERT_TRUE(pipeline->reset().ok());
  run_into();
  const TestPicture picture(64, 48, 1);
  std::vector<Detection> detections;
  ASSERT_TRUE(pipeline->detect(picture.view(), &detections).ok());
  EXPECT_FALSE(detections.empty());
  ASSERT_TRUE(pipeline->reset().ok());
  run_into();
  std::vector<Pose> poses;
  const BoxXyxy box{1, 1, 20, 40};
  ASSERT_TRUE(
      pipeline->process_boxes(picture.view(), time_ns += kFrame_ns, {&box, 1}, &poses).ok());
  ASSERT_EQ(poses.size(), 1U);
  ASSERT_TRUE(pipeline->reset().ok());
  run_into();
  const int64_t newest = pipeline->process(picture.view(), time_ns += kFrame_ns, &poses).ok()
                             ? poses.at(0).track_id
                             : 0;
  std::vector<uint8_t> white(64 * 48 * 3, 255);
  ImageView blank = picture.view();
  blank.data = white.data();
  StageTimings timings;
  ASSERT_TRUE(pipeline->process(blank, time_ns += kFrame_ns, &poses, &timings).ok());
  EXPECT_GT(timings.detector_ns, 0) << "a cut is looked at at once";
  ASSERT_TRUE(pipeline->process(picture.view(), time_ns += kFrame_ns, &poses).ok());
  ASSERT_FALSE(poses.empty());
  EXPECT_GT(poses[0].track_id, newest);
  detections_of(pipeline.get(), 5, &time_ns);  // and closed while it runs
}

TEST(TrackedPipelineTest, ATurnedVideoGivesWhatTheUprightOneGives) {
  const TestPicture upright(40, 96, 1);
  const TurnedPicture turned(upright.view());
  const auto a = open_delayed(100, 0), b = open_delayed(100, 0);
  ASSERT_TRUE(a != nullptr && b != nullptr);
  size_t low = 0;
  for (int i = 0; i < 4; ++i) {
    std::vector<Pose> expected, poses;
    ASSERT_TRUE(a->process(upright.view(), i * kFrame_ns, &expected).ok());
    ASSERT_TRUE(b->process(turned.view(), i * kFrame_ns, &poses).ok());
    ASSERT_EQ(poses.size(), expected.size());
    for (size_t p = 0; p < poses.size(); ++p) {
      low += i > 0 && poses[p].box.y2 > 40 ? 1 : 0;
      EXPECT_EQ(poses[p].track_id, expected[p].track_id);
      EXPECT_EQ(poses[p].box.x1, expected[p].box.x1);
      EXPECT_EQ(poses[p].box.y2, expected[p].box.y2);
    }
  }
  EXPECT_GT(low, 0U) << "nobody where the sides of the stored picture would end";
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

TEST(TrackedPipelineTest, AfterAPauseThePersonsAreLookedForAtOnce) {
  for (const int delay : {0, 2}) {
    const auto pipeline = open_delayed(100, delay);
    ASSERT_NE(pipeline, nullptr);
    int64_t time_ns = 0;
    detections_of(pipeline.get(), 8, &time_ns);
    time_ns += 2'000'000'000;
    std::vector<std::vector<Pose>> all;
    EXPECT_EQ(detections_of(pipeline.get(), 2, &time_ns, &all).substr(0, 1), "d") << delay;
    for (const std::vector<Pose>& poses : all) EXPECT_FALSE(poses.empty()) << delay;
  }
}

// A picture that is black from column `from_px` on: the fake network finds nobody's points there.
class DarkPicture {
 public:
  explicit DarkPicture(int from_px) : bytes_(noise_.view().data, noise_.view().data + 64 * 48 * 3) {
    for (size_t i = 0; i < bytes_.size(); ++i)
      if (static_cast<int>(i / 3 % 64) >= from_px) bytes_[i] = 0;
  }
  ImageView view() const {
    ImageView view = noise_.view();
    view.data = bytes_.data();
    return view;
  }

 private:
  const TestPicture noise_{64, 48, 1};
  std::vector<uint8_t> bytes_;
};

std::unique_ptr<Pipeline> open_losing(int detect_every, int detect_delay) {
  PipelineOptions options = delayed(detect_every, detect_delay);
  options.tracking->loss_keypoint_score = 0.01F;
  options.tracking->scene_change_levels = 255;
  auto opened = Pipeline::open(test_bundle("top_down"), options);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return opened.ok() ? std::move(opened).value() : nullptr;
}

TEST(TrackedPipelineTest, AfterALossAndAfterGivenBoxesTheDetectorRunsAtOnce) {
  for (const bool given : {false, true}) {
    for (const int delay : {0, 3}) {
      const auto pipeline = open_losing(100, delay);
      ASSERT_NE(pipeline, nullptr);
      int64_t time_ns = 0;
      ASSERT_EQ(detections_of(pipeline.get(), 4, &time_ns), "d---");
      std::vector<Pose> poses;
      const BoxXyxy box{1, 1, 20, 40};
      const DarkPicture dark(0);
      ASSERT_TRUE(
          (given ? pipeline->process_boxes(dark.view(), time_ns += kFrame_ns, {&box, 1}, &poses)
                 : pipeline->process(dark.view(), time_ns += kFrame_ns, &poses))
              .ok());
      EXPECT_EQ(poses.size(), given ? 1U : 0U);
      // Behind the frames it begins at once; there is somebody to follow until it is done.
      EXPECT_EQ(detections_of(pipeline.get(), 4, &time_ns), given && delay > 0 ? "---d" : "d---");
    }
  }
}

// Somebody is lost while a detection runs that cannot know it: the next one begins when it is done.
TEST(TrackedPipelineTest, ALossIsNotForgottenWhileADetectionRuns) {
  const auto pipeline = open_losing(4, 3);
  ASSERT_NE(pipeline, nullptr);
  int64_t time_ns = 0;
  std::vector<std::vector<Pose>> all;
  EXPECT_EQ(detections_of(pipeline.get(), 5, &time_ns, &all), "d----");  // begun with the fifth
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process(DarkPicture(32).view(), time_ns += kFrame_ns, &poses).ok());
  EXPECT_FALSE(poses.empty());
  EXPECT_LT(poses.size(), all.back().size());
  EXPECT_EQ(detections_of(pipeline.get(), 6, &time_ns), "-d--d-");
}

// Everybody is lost while a detection runs, and then the video pauses.
TEST(TrackedPipelineTest, WhatTheDetectorFoundBeforeAPauseIsForgotten) {
  const auto pipeline = open_losing(4, 3);
  ASSERT_NE(pipeline, nullptr);
  int64_t time_ns = 0;
  EXPECT_EQ(detections_of(pipeline.get(), 5, &time_ns), "d----");  // begun with the fifth frame
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process(DarkPicture(0).view(), time_ns += kFrame_ns, &poses).ok());
  ASSERT_TRUE(poses.empty());
  const TestPicture after(64, 48, 2);
  ASSERT_TRUE(pipeline->process(after.view(), time_ns += 2'000'000'000, &poses).ok());
  std::vector<Detection> expected;
  ASSERT_TRUE(pipeline->detect(after.view(), &expected).ok());
  ASSERT_FALSE(poses.empty());
  EXPECT_EQ(poses[0].box_score, expected.at(0).score);
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
  for (const int every : {0, 100001}) {
    options.detect_every = every;
    EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  }
  options.detect_every = 2;
  EXPECT_EQ(code("top_down", options), Code::kOk);
  EXPECT_EQ(code("one_stage", options), Code::kInvalidArgument);
  EXPECT_EQ(code("pose", options), Code::kInvalidArgument);
  options.detect_delay = 2;
  EXPECT_EQ(code("top_down", options), Code::kOk);
  for (const int delay : {-1, 3}) {
    options.detect_delay = delay;
    EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  }
  options.detect_every = options.detect_delay = 1;
  EXPECT_EQ(code("top_down", options), Code::kOk);
  EXPECT_EQ(code("one_stage", options), Code::kInvalidArgument);
  options.track = false;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  options.detect_delay = 0;
  options.detect_every = 2;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  options.detect_every = 1;
  options.smooth = true;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument);
  options.smooth = false;
  EXPECT_EQ(code("top_down", options), Code::kInvalidArgument) << "settings alone";
  options.tracking.reset();
  EXPECT_EQ(code("top_down", options), Code::kOk);
}

}  // namespace
}  // namespace edgepose
