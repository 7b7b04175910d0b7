#include "edgepose/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "test_bundles.h"
#include "wrong_golden.h"

namespace edgepose {
namespace {

bool same(const Pose& a, const Pose& b) {
  const auto equal_points = [](const Keypoint& p, const Keypoint& q) {
    return p.x_px == q.x_px && p.y_px == q.y_px && p.score == q.score;
  };
  return a.keypoints.size() == b.keypoints.size() && a.z == b.z &&
         std::equal(a.keypoints.begin(), a.keypoints.end(), b.keypoints.begin(), equal_points);
}

TEST(PipelineTest, ReproducesTheGoldenResultsOfEveryType) {
  for (const char* name : {"top_down", "detect", "pose", "pose_3d", "one_stage"}) {
    for (const int threads : {1, 3}) {
      const auto pipeline = open_pipeline(test_bundle(name), threads);
      ASSERT_NE(pipeline, nullptr);
      const auto report = pipeline->verify_golden();
      ASSERT_TRUE(report.ok()) << report.status().message();
      EXPECT_TRUE(report.value().passed) << name;
      EXPECT_GT(report.value().detections_matched + report.value().keypoints_compared, 0) << name;
      EXPECT_LE(report.value().keypoint_max_px, 1e-3) << name;
      EXPECT_LE(report.value().box_max_px, 1e-3) << name;
    }
  }
}

TEST(PipelineTest, FindsPersonsAboveTheThresholdBestFirst) {
  const auto pipeline = open_pipeline(test_bundle("top_down"), 2);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  std::vector<Detection> detections;
  ASSERT_TRUE(pipeline->detect(picture.view(), &detections).ok());
  std::vector<Pose> poses;
  StageTimings timings;
  timings.pose_ns = int64_t{1} << 60;  // of another frame
  ASSERT_TRUE(pipeline->process(picture.view(), 0, &poses, &timings).ok());
  const PipelineSettings& settings = pipeline->bundle().pipeline();
  size_t expected = 0;
  for (const Detection& d : detections) {
    if (d.label != settings.person_label || d.score < settings.box_score_threshold) continue;
    if (d.box.x2 - d.box.x1 < 1 || d.box.y2 - d.box.y1 < 1) continue;
    ASSERT_LT(expected, poses.size());
    EXPECT_EQ(poses[expected].box_score, d.score);
    EXPECT_EQ(poses[expected].box.x1, d.box.x1);
    ++expected;
  }
  EXPECT_EQ(poses.size(), expected);
  EXPECT_GT(expected, 0U);
  EXPECT_LT(expected, detections.size()) << "the picture must have detections below the threshold";
  EXPECT_GT(timings.detector_ns, 0);
  EXPECT_GT(timings.pose_ns, 0);
  EXPECT_GE(timings.total_ns, timings.detector_ns + timings.pose_ns);
}

TEST(PipelineTest, ACrowdGivesWhatEachPersonGivesAlone) {
  const auto pipeline = open_pipeline(test_bundle("pose_3d"), 2);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(320, 240, 2);
  std::vector<BoxXyxy> boxes;
  for (int i = 0; i < 70; ++i) {
    const float x = static_cast<float>(i * 3);
    boxes.push_back({x, 5, x + 40, 5 + static_cast<float>(60 + i)});
  }
  std::vector<Pose> crowd;
  ASSERT_TRUE(pipeline->process_boxes(picture.view(), 0, boxes, &crowd).ok());
  ASSERT_EQ(crowd.size(), boxes.size());
  for (size_t i = 0; i < boxes.size(); ++i) {
    std::vector<Pose> alone;
    ASSERT_TRUE(pipeline->process_boxes(picture.view(), 0, {&boxes[i], 1}, &alone).ok());
    EXPECT_TRUE(same(crowd[i], alone[0])) << "person " << i;
    EXPECT_EQ(alone[0].z.size(), alone[0].keypoints.size());
  }
}

TEST(PipelineTest, WithoutADetectorThePictureIsThePerson) {
  const auto pipeline = open_pipeline(test_bundle("pose"), 1);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(33, 57, 3);
  const BoxXyxy whole{0, 0, 33, 57};
  std::vector<Pose> poses;
  std::vector<Pose> expected;
  ASSERT_TRUE(pipeline->process(picture.view(), 0, &poses).ok());
  ASSERT_TRUE(pipeline->process_boxes(picture.view(), 0, {&whole, 1}, &expected).ok());
  ASSERT_EQ(poses.size(), 1U);
  EXPECT_TRUE(same(poses[0], expected[0]));
  std::vector<Detection> detections;
  EXPECT_EQ(pipeline->detect(picture.view(), &detections).code(), Code::kUnsupported);
}

TEST(PipelineTest, WithoutAPoseNetworkThereAreBoxesAlone) {
  const auto pipeline = open_pipeline(test_bundle("detect"), 1);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process(picture.view(), 0, &poses).ok());
  ASSERT_FALSE(poses.empty());
  EXPECT_TRUE(poses[0].keypoints.empty());
  const BoxXyxy box{0, 0, 10, 10};
  EXPECT_EQ(pipeline->process_boxes(picture.view(), 0, {&box, 1}, &poses).code(),
            Code::kUnsupported);
}

TEST(PipelineTest, AOneStageNetworkGivesItsBestPersons) {
  const auto pipeline = open_pipeline(test_bundle("one_stage"), 2);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  std::vector<Detection> detections;
  ASSERT_TRUE(pipeline->detect(picture.view(), &detections).ok());
  std::vector<Pose> poses;
  ASSERT_TRUE(pipeline->process(picture.view(), 0, &poses).ok());
  const float threshold = pipeline->bundle().pipeline().box_score_threshold;
  ASSERT_FALSE(poses.empty());
  for (size_t i = 0; i < detections.size(); ++i) {
    EXPECT_EQ(i < poses.size(), detections[i].score >= threshold) << i;
    if (i >= poses.size()) continue;
    EXPECT_EQ(poses[i].box_score, detections[i].score);
    EXPECT_EQ(poses[i].keypoints.size(), 3U);
  }
  const BoxXyxy box{0, 0, 10, 10};
  EXPECT_EQ(pipeline->process_boxes(picture.view(), 0, {&box, 1}, &poses).code(),
            Code::kUnsupported);
}

TEST(PipelineTest, ATurnedPictureGivesWhatTheUprightOneGives) {
  for (const char* name : {"top_down", "detect", "pose", "one_stage"}) {
    const auto pipeline = open_pipeline(test_bundle(name), 1);
    ASSERT_NE(pipeline, nullptr);
    size_t low = 0;
    for (unsigned seed = 0; seed < 8; ++seed) {
      const TestPicture upright(40, 96, seed);
      const TurnedPicture turned(upright.view());
      std::vector<Pose> expected, poses;
      ASSERT_TRUE(pipeline->process(upright.view(), 0, &expected).ok());
      ASSERT_TRUE(pipeline->process(turned.view(), 0, &poses).ok());
      ASSERT_EQ(poses.size(), expected.size()) << name;
      for (size_t i = 0; i < poses.size(); ++i) {
        low += poses[i].box.y2 > 40 ? 1 : 0;
        EXPECT_EQ(poses[i].box.x1, expected[i].box.x1) << name;
        EXPECT_EQ(poses[i].box.y2, expected[i].box.y2) << name;
        ASSERT_EQ(poses[i].keypoints.size(), expected[i].keypoints.size());
        for (size_t k = 0; k < poses[i].keypoints.size(); ++k)
          EXPECT_EQ(poses[i].keypoints[k].y_px, expected[i].keypoints[k].y_px) << name;
      }
    }
    EXPECT_GT(low, 0U) << name << ": nobody where the sides of the stored picture would end";
  }
}

TEST(PipelineTest, NothingOfAnEarlierResultRemains) {
  Pose old;
  old.track_id = 7;
  old.keypoints.resize(2);
  old.z.resize(2);
  for (const char* name : {"top_down", "detect", "pose", "one_stage"}) {
    const auto pipeline = open_pipeline(test_bundle(name), 1);
    ASSERT_NE(pipeline, nullptr);
    std::vector<Pose> poses(20, old);
    ASSERT_TRUE(pipeline->process(TestPicture(64, 48, 1).view(), 0, &poses).ok());
    ASSERT_FALSE(poses.empty());
    for (const Pose& pose : poses) {
      EXPECT_EQ(pose.track_id, -1) << name;
      EXPECT_EQ(pose.keypoints.size(), pipeline->bundle().keypoints().keypoints.size()) << name;
      EXPECT_TRUE(pose.z.empty()) << name;
    }
  }
}

TEST(PipelineTest, NoBoxesGiveNoPoses) {
  const auto pipeline = open_pipeline(test_bundle("pose"), 1);
  ASSERT_NE(pipeline, nullptr);
  std::vector<Pose> poses(3);
  ASSERT_TRUE(
      pipeline->process_boxes(TestPicture(20, 20, 0).view(), 0, Span<const BoxXyxy>(), &poses)
          .ok());
  EXPECT_TRUE(poses.empty());
}

TEST(PipelineTest, BadPicturesAndBoxesAreRefusedAndTheNextFrameWorks) {
  const auto pipeline = open_pipeline(test_bundle("top_down"), 2);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  std::vector<Pose> poses;
  ImageView bad = picture.view();
  bad.data = nullptr;
  EXPECT_EQ(pipeline->process(bad, 0, &poses).code(), Code::kInvalidArgument);
  bad = picture.view();
  bad.width_px = 0;
  EXPECT_EQ(pipeline->process(bad, 0, &poses).code(), Code::kInvalidArgument);
  bad = picture.view();
  bad.row_stride_bytes = 3;
  EXPECT_EQ(pipeline->process(bad, 0, &poses).code(), Code::kInvalidArgument);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const BoxXyxy& box : {BoxXyxy{5, 5, 5, 20}, BoxXyxy{9, 9, 3, 3}, BoxXyxy{nan, 0, 9, 9},
                             BoxXyxy{0, 0, 1e30F, 9}}) {
    const BoxXyxy boxes[] = {{1, 1, 20, 20}, box};
    const Status status = pipeline->process_boxes(picture.view(), 0, {boxes, 2}, &poses);
    EXPECT_TRUE(status.ok() ? std::isfinite(box.x2) && box.x2 > box.x1
                            : status.code() == Code::kInvalidArgument);
  }
  EXPECT_TRUE(pipeline->process(picture.view(), 0, &poses).ok());
  EXPECT_FALSE(poses.empty());
}

TEST(PipelineTest, ASecondThreadGetsAnErrorAndDisturbsNothing) {
  const auto pipeline = open_pipeline(test_bundle("top_down"), 2);
  ASSERT_NE(pipeline, nullptr);
  const TestPicture picture(64, 48, 1);
  std::vector<Pose> expected;
  ASSERT_TRUE(pipeline->process(picture.view(), 0, &expected).ok());
  std::atomic<int> busy{0};
  std::atomic<int> wrong{0};
  const auto work = [&] {
    std::vector<Pose> poses;
    for (int i = 0; i < 20000 && busy < 10; ++i) {
      const Status status = pipeline->process(picture.view(), 0, &poses);
      if (status.ok()) {
        if (poses.size() != expected.size() || !same(poses[0], expected[0])) ++wrong;
      } else if (status.code() == Code::kInvalidArgument) {
        ++busy;
      } else {
        ++wrong;
      }
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_GT(busy, 0);
  EXPECT_EQ(wrong, 0);
}

TEST(PipelineTest, OptionsAreChecked) {
  for (const int threads : {0, -1, 257}) {
    PipelineOptions options;
    options.threads = threads;
    EXPECT_EQ(Pipeline::open(test_bundle("pose"), options).status().code(), Code::kInvalidArgument);
  }
  PipelineOptions options;
  options.device = "TPU";
  const Status status = Pipeline::open(test_bundle("pose"), options).status();
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_EQ(status.message().find(test_bundle("pose") + ": "), 0U) << status.message();
}

TEST_F(WrongGoldenTest, TheUnchangedOnePasses) { EXPECT_TRUE(verify().passed); }

TEST_F(WrongGoldenTest, AMovedPointFails) {
  for (auto& pose : golden_["poses"]) {
    for (auto& point : pose) point[0] = point[0].get<double>() + 3;
  }
  const GoldenReport report = verify();
  EXPECT_FALSE(report.passed);
  EXPECT_NEAR(report.keypoint_mean_px, 3, 1e-3);
}

TEST_F(WrongGoldenTest, AMovedBoxFails) {
  auto& best = golden_["detections"][0];
  best[0] = best[0].get<double>() + 0.5;
  const GoldenReport report = verify();
  EXPECT_FALSE(report.passed);
  EXPECT_NEAR(report.box_max_px, 0.5, 1e-3);
  EXPECT_NEAR(report.box_mean_px, 0.5 / (4 * report.detections_matched), 1e-4);
}

TEST_F(WrongGoldenTest, UncertainPointsDoNotCount) {
  auto manifest = nlohmann::ordered_json::parse(read(folder_ / "bundle.json"));
  manifest["pipeline"]["keypoint_score_threshold"] = 1.9;
  write(folder_ / "bundle.json", manifest.dump());
  for (auto& pose : golden_["poses"]) {
    for (auto& point : pose)
      if (point[2] < 1.9) point[0] = 900;  // the median of the scores is 1.96
  }
  EXPECT_TRUE(verify().passed);
  EXPECT_EQ(verify().keypoints_compared, 3);
  for (auto& pose : golden_["poses"]) {
    for (auto& point : pose) point[2] = 0;
  }
  EXPECT_TRUE(verify().passed);
  EXPECT_EQ(verify().keypoints_compared, 0);
}

TEST_F(WrongGoldenTest, ASeenPointInTheUpperHalfOfItsJointCounts) {
  auto& hand = golden_["poses"][0][2];
  ASSERT_LT(hand[2], 1.9);  // the median of the scores is 1.96, of this joint's it is its own
  hand[0] = hand[0].get<double>() + 4;
  auto& weaker = golden_["poses"][1][2];
  weaker[0] = 900;
  const GoldenReport report = verify();
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.keypoints_compared, 4);
  EXPECT_NEAR(report.keypoint_mean_px, 1, 1e-3);
}

TEST_F(WrongGoldenTest, ADetectionNearTheThresholdMayBeMissing) {
  auto manifest = nlohmann::ordered_json::parse(read(folder_ / "bundle.json"));
  manifest["pipeline"]["box_score_threshold"] = 0.8;
  write(folder_ / "bundle.json", manifest.dump());
  auto& detections = golden_["detections"];
  ASSERT_LT(detections[8][4], 0.9);
  detections[8][0] = -900;
  detections.erase(9);
  EXPECT_TRUE(verify().passed);
}

TEST_F(WrongGoldenTest, AMissingDetectionFails) {
  golden_["detections"].erase(0);
  const GoldenReport report = verify();
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.detections_unexpected, 1);
}

// Bundles of real engines, for runs under the sanitizers: EDGEPOSE_TEST_BUNDLES holds their
// folders, separated by colons.
TEST(RealBundleTest, ReproduceTheirGoldenResults) {
  const char* folders = std::getenv("EDGEPOSE_TEST_BUNDLES");
  if (folders == nullptr) GTEST_SKIP() << "EDGEPOSE_TEST_BUNDLES names no bundles";
  std::istringstream list(folders);
  for (std::string folder; std::getline(list, folder, ':');) {
    for (const int threads : {1, 2}) {
      const auto pipeline = open_pipeline(folder, threads);
      ASSERT_NE(pipeline, nullptr);
      const auto report = pipeline->verify_golden();
      ASSERT_TRUE(report.ok()) << report.status().message();
      EXPECT_TRUE(report.value().passed) << folder;
      std::vector<Pose> poses;
      for (unsigned seed = 0; seed < 3; ++seed) {
        const TestPicture picture(200 + static_cast<int>(seed) * 77, 150, seed);
        EXPECT_TRUE(pipeline->process(picture.view(), seed, &poses).ok());
      }
      if (pipeline->bundle().model("pose") != nullptr) {
        const BoxXyxy boxes[] = {{1, 2, 50, 90}, {-20, -5, 70, 30}, {100, 20, 180, 149}};
        EXPECT_TRUE(
            pipeline->process_boxes(TestPicture(200, 150, 9).view(), 0, {boxes, 3}, &poses).ok());
        EXPECT_EQ(poses.size(), 3U);
      }
    }
  }
}

TEST(StageTimingsTest, EveryNameIsThatOfItsTime) {
  StageTimings t;
  int64_t next = 0;
  for (int64_t* time : {&t.detector_preprocess_ns, &t.detector_ns, &t.detector_decode_ns,
                        &t.pose_preprocess_ns, &t.pose_ns, &t.pose_decode_ns, &t.total_ns})
    *time = next++;
  std::vector<std::string> names(7);
  for (const StageTiming& stage : kStageTimings)
    names[static_cast<size_t>(t.*stage.value)] = stage.name;
  const std::vector<std::string> wanted{
      "detector_preprocess_ns", "detector_ns",    "detector_decode_ns", "pose_preprocess_ns",
      "pose_ns",                "pose_decode_ns", "total_ns"};
  EXPECT_EQ(names, wanted);
}

}  // namespace
}  // namespace edgepose
