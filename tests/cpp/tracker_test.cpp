#include "edgepose/tracker.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "scene_change.h"
#include "tracker_fixture.h"

namespace edgepose {
namespace {

TEST_F(TrackerTest, AdvanceMovesADetectionAsItsPersonMovedSince) {
  const auto advanced = [this](const Pose& pose) {
    std::vector<Detection> detections(1);
    detections[0].box = pose.box;
    tracker_.advance(detections);
    return detections[0].box;
  };
  frame({figure(100, 200), figure(400, 200)});
  tracker_.remember();
  EXPECT_EQ(frame({figure(110, 205), figure(400, 200)}), Ids({1, 2}));
  ASSERT_TRUE(tracker_.begin(time_ns_ + 1, 640, 480).ok());
  // Found in the remembered frame a little beside the person: the error stays, the motion is added.
  const BoxXyxy moved = advanced(figure(103, 200));
  EXPECT_NEAR(moved.x1, 103 - 30 + 10, 0.1F);
  EXPECT_NEAR(moved.y2, 200 + 60 + 5, 0.1F);
  const BoxXyxy resting = advanced(figure(402, 200));
  EXPECT_NEAR(resting.x1, 402 - 30, 0.1F);
  const BoxXyxy unknown = advanced(figure(250, 200));
  EXPECT_EQ(unknown.x1, 220);
  EXPECT_EQ(unknown.y1, 140);
}

TEST_F(TrackerTest, AdvanceKnowsNobodyWhoCameLater) {
  frame({figure(100, 200)});
  tracker_.remember();
  EXPECT_EQ(frame({figure(100, 200), figure(400, 200)}), Ids({1, 2}));
  EXPECT_EQ(frame({figure(100, 200), figure(420, 200)}), Ids({1, 2}));
  std::vector<Detection> detections(1);
  detections[0].box = figure(400, 200).box;
  tracker_.advance(detections);
  EXPECT_EQ(detections[0].box.x1, 370);
}

TEST_F(TrackerTest, IdsStayWhateverTheOrder) {
  EXPECT_EQ(frame({figure(100, 200), figure(400, 200)}), Ids({1, 2}));
  for (int i = 1; i < 20; ++i) {
    const float step = static_cast<float>(4 * i);
    if (i % 2 == 0) {
      EXPECT_EQ(frame({figure(100 + step, 200), figure(400, 200 + step)}), Ids({1, 2}));
    } else {
      EXPECT_EQ(frame({figure(400, 200 + step), figure(100 + step, 200)}), Ids({2, 1}));
    }
  }
}

// Two persons walk through each other; for `hidden` frames the one behind is not detected.
TEST_F(TrackerTest, CrossingPersonsKeepTheirIds) {
  for (const int hidden : {0, 4, 10}) {
    for (const float speed_px : {3.0F, 6.0F, 9.0F}) {
      tracker_.reset();
      for (int i = -30; i <= 30; ++i) {
        const float at = speed_px * static_cast<float>(i);
        const Pose front = figure(320 + at, 240, 4);
        const Pose behind = figure(320 - at, 232, -4);
        const bool both = std::abs(i) > hidden / 2;
        const Ids ids = both ? frame({front, behind}) : frame({front});
        EXPECT_EQ(ids, both ? Ids({1, 2}) : Ids({1}))
            << "frame " << i << ", " << speed_px << " px a frame, hidden for " << hidden;
      }
    }
  }
}

TEST_F(TrackerTest, WhoComesBackInTimeKeepsTheIdAndWhoComesLateDoesNot) {
  EXPECT_EQ(frame({figure(100, 200)}), Ids({1}));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(frame({}), Ids());
  EXPECT_EQ(frame({figure(104, 200)}), Ids({1}));
  for (int i = 0; i < 40; ++i) EXPECT_EQ(frame({}), Ids());  // 1.3 s, above max_lost_s
  EXPECT_EQ(frame({figure(104, 200)}), Ids({2}));
}

TEST_F(TrackerTest, AnUncertainPersonStartsNoTrackButKeepsOne) {
  Pose uncertain = figure(100, 200, 0, 0.35F);
  uncertain.track_id = 7;
  EXPECT_EQ(frame({uncertain}), Ids({-1}));
  EXPECT_EQ(frame({figure(100, 200, 0, 0.4F)}), Ids({1}));
  EXPECT_EQ(frame({figure(101, 200, 0, 0.35F)}), Ids({1}));
}

TEST_F(TrackerTest, PosesThatAreAlikeAreOnePersonTheBestOne) {
  EXPECT_EQ(frame({figure(100, 200, 0, 0.6F), figure(101, 200, 0, 0.9F), figure(180, 200)}),
            Ids({1, 2}));
  EXPECT_EQ(poses_[0].box_score, 0.9F);
  EXPECT_EQ(frame({figure(100, 200), figure(101, 200)}, Tracker::Source::kGiven).size(), 2U)
      << "the caller gets every box back";
}

TEST_F(TrackerTest, AFollowedPersonWithoutAPoseIsLostAndAsksForADetection) {
  EXPECT_EQ(frame({figure(100, 200), figure(400, 200)}), Ids({1, 2}));
  EXPECT_FALSE(tracker_.wants_detection());
  Pose gone = figure(400, 200);
  for (Keypoint& point : gone.keypoints) point.score = 0.1F;
  EXPECT_EQ(frame({figure(101, 200), gone}, Tracker::Source::kFollowed), Ids({1}));
  EXPECT_TRUE(tracker_.wants_detection());
  EXPECT_EQ(frame({figure(102, 200), figure(402, 200)}), Ids({1, 2}));
  EXPECT_FALSE(tracker_.wants_detection());
}

TEST_F(TrackerTest, PredictsWithAConstantVelocityAndForgetsWhoLeft) {
  for (const bool down : {false, true}) {
    tracker_.reset();
    const auto after = [down](int frames) {
      const Pose pose = figure((down ? 400.0F : 560.0F) + 6 * static_cast<float>(frames), 200);
      return down ? transposed(pose) : pose;
    };
    for (int i = 0; i < 10; ++i) frame({after(i)});
    ASSERT_TRUE(tracker_.begin(time_ns_ += kFrame_ns, 640, 480).ok());
    ASSERT_EQ(tracker_.predict().size(), 1U);
    EXPECT_NEAR(tracker_.predict()[0].box.x1, after(10).box.x1, 0.5);
    EXPECT_NEAR(tracker_.predict()[0].box.y2, after(10).box.y2, 0.5);
    ASSERT_TRUE(tracker_.begin(time_ns_ + 20 * kFrame_ns, 640, 480).ok());
    EXPECT_TRUE(tracker_.predict().empty()) << "outside of the picture";
  }
}

TEST_F(TrackerTest, AFollowedBoxGrowsAndMovesWithThePose) {
  EXPECT_EQ(frame({figure(300, 200)}), Ids({1}));
  Pose nearer = figure(300, 200);
  for (int i = 1; i <= 10; ++i) {
    const float growth = 1 + 0.02F * static_cast<float>(i);
    Pose found = figure(300, 200);
    for (Keypoint& point : found.keypoints) {
      point.x_px = 300 + growth * (point.x_px - 300) + 2 * static_cast<float>(i);
      point.y_px = 200 + growth * (point.y_px - 200);
    }
    ASSERT_EQ(frame({found}, Tracker::Source::kFollowed), Ids({1}));
  }
  const BoxXyxy& box = poses_[0].box;
  EXPECT_NEAR((box.x1 + box.x2) / 2, 320, 4);
  EXPECT_NEAR(box.y2 - box.y1, 144, 15);
}

TEST_F(TrackerTest, ThoseExpectedComeBestBoxFirst) {
  frame({figure(100, 200, 0, 0.5F), figure(300, 200, 0, 0.9F), figure(500, 200, 0, 0.7F)});
  ASSERT_TRUE(tracker_.begin(time_ns_ += kFrame_ns, 640, 480).ok());
  std::vector<float> scores;
  for (const Tracker::Prediction& expected : tracker_.predict())
    scores.push_back(expected.box_score);
  EXPECT_EQ(scores, std::vector<float>({0.9F, 0.7F, 0.5F}));
}

TEST_F(TrackerTest, APauseBetweenTwoFramesForgetsEverybody) {
  ASSERT_TRUE(tracker_.begin(time_ns_, 640, 480).ok());
  EXPECT_FALSE(tracker_.after_pause()) << "the first frame";
  frame({figure(100, 200), figure(400, 200)});
  frame({figure(400, 200)});  // the first one is lost
  ASSERT_TRUE(tracker_.begin(time_ns_ += 25 * kFrame_ns, 640, 480).ok());
  EXPECT_FALSE(tracker_.after_pause());
  EXPECT_EQ(tracker_.predict().size(), 1U) << "nobody follows the one who is lost";
  ASSERT_TRUE(tracker_.begin(time_ns_ += 10 * kFrame_ns, 640, 480).ok());
  EXPECT_TRUE(tracker_.after_pause());
  EXPECT_TRUE(tracker_.predict().empty());
  EXPECT_EQ(frame({figure(400, 200)}), Ids({3}));
  ASSERT_TRUE(tracker_.begin(time_ns_ += kFrame_ns, 640, 480).ok());
  EXPECT_FALSE(tracker_.after_pause());
}

TEST_F(TrackerTest, FollowedFramesDoNotHideANewPersonNearOthers) {
  const Pose old = figure(300, 200);
  const Pose newcomer = figure(335, 200, 3);
  EXPECT_EQ(frame({old}), Ids({1}));
  for (const int64_t id : {int64_t{-1}, int64_t{-1}, int64_t{2}}) {
    EXPECT_EQ(frame({old, newcomer}), Ids({1, id}));
    EXPECT_EQ(tracker_.wants_detection(), id < 0);
    const Ids followed = id < 0 ? Ids({1}) : Ids({1, id});
    const std::vector<Pose> poses =
        id < 0 ? std::vector<Pose>{old} : std::vector<Pose>{old, newcomer};
    EXPECT_EQ(frame(poses, Tracker::Source::kFollowed), followed);
    EXPECT_FALSE(tracker_.wants_detection()) << "asked for already";
  }
}

TEST_F(TrackerTest, ASecondBoxOfOnePersonIsNobodyNear) {
  Pose upper = figure(400, 200, 0, 0.6F);
  upper.box.y2 -= 40;
  EXPECT_EQ(frame({figure(100, 200)}), Ids({1}));
  EXPECT_EQ(frame({figure(100, 200), figure(400, 200), upper}), Ids({1, 2}));
}

TEST_F(TrackerTest, TimeMustRiseAndAnErrorChangesNothing) {
  EXPECT_EQ(frame({figure(100, 200)}), Ids({1}));
  for (const int64_t wrong : {time_ns_, time_ns_ - 1, std::numeric_limits<int64_t>::min()}) {
    const Status status = tracker_.begin(wrong, 640, 480);
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_FALSE(status.hint().empty());
  }
  EXPECT_EQ(frame({figure(101, 200)}), Ids({1}));
  tracker_.reset();
  EXPECT_TRUE(tracker_.begin(0, 640, 480).ok()) << "after a reset any time will do";
  EXPECT_EQ(frame({figure(300, 200)}), Ids({1}));
}

TEST_F(TrackerTest, AGapOfMoreThanHalfOfAllTimesEndsTracks) {
  Tracker tracker(test_tracking(), kSigmas, kThreshold, true);
  std::vector<Pose> poses = {figure(100, 200)};
  for (const int64_t time_ns :
       {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    ASSERT_TRUE(tracker.begin(time_ns, 640, 480).ok());
    poses = {figure(100, 200)};
    ASSERT_EQ(tracker.update(Tracker::Source::kDetected, poses), 1U);
    for (const Keypoint& k : poses[0].keypoints) EXPECT_TRUE(std::isfinite(k.x_px + k.y_px));
  }
  EXPECT_EQ(poses[0].track_id, 2);
}

TEST_F(TrackerTest, ABoxBeyondAllNumbersDisturbsNobody) {
  for (int i = 0; i < 3; ++i) {
    Pose beyond = figure(300, 200);
    beyond.box = {0, 0, 1e20F, 1e20F};
    EXPECT_EQ(frame({figure(100, 200), beyond})[0], 1);
  }
}

TEST_F(TrackerTest, EndedTracksNeverReturn) {
  EXPECT_EQ(frame({figure(100, 200)}), Ids({1}));
  tracker_.end_tracks();
  EXPECT_EQ(frame({figure(100, 200)}), Ids({2}));
}

// Frames of a stream that stutters arrive a moment apart: a small step is no great velocity.
TEST(StutterTest, ANarrowBoxKeepsItsIdWhereverTwoFramesArriveTogether) {
  for (int early = 1; early <= 8; ++early) {
    Tracker tracker(test_tracking(), {}, 0, false);
    int64_t time_ns = 0;
    for (int i = 0; i < 14; ++i) {
      const float at_px = 100 + 4 * static_cast<float>(i);
      Pose pose;
      pose.box = {at_px, 100, at_px + 60, 260};
      pose.box_score = 0.9F;
      time_ns += i == early ? 700000 : kFrame_ns;
      ASSERT_TRUE(tracker.begin(time_ns, 640, 480).ok());
      ASSERT_EQ(tracker.update(Tracker::Source::kGiven, {&pose, 1}), 1U);
      EXPECT_EQ(pose.track_id, 1) << "frame " << i << ", early " << early;
    }
  }
}

TEST_F(TrackerTest, BoxesAloneAreFollowedByTheirOverlap) {
  Tracker tracker(test_tracking(), {}, 0, false);
  for (int i = 0; i < 10; ++i) {
    Pose pose;
    pose.box = {10.0F + 5 * static_cast<float>(i), 10, 60.0F + 5 * static_cast<float>(i), 110};
    pose.box_score = 0.9F;
    ASSERT_TRUE(tracker.begin(i, 640, 480).ok());
    ASSERT_EQ(tracker.update(Tracker::Source::kDetected, {&pose, 1}), 1U);
    EXPECT_EQ(pose.track_id, 1);
  }
}

TEST(OksTest, IsOneForTheSamePoseAndFallsWithTheDistance) {
  const Pose pose = figure(100, 200);
  EXPECT_FLOAT_EQ(oks(pose, pose, kSigmas, kThreshold), 1);
  const float near = oks(pose, figure(105, 200), kSigmas, kThreshold);
  const float far = oks(pose, figure(115, 200), kSigmas, kThreshold);
  const double area = 0.53 * 60 * 120;
  EXPECT_NEAR(near, std::exp(-25.0 / (2 * area * 0.14 * 0.14)), 1e-5);
  EXPECT_LT(far, near);
  Pose larger = figure(105, 200);
  larger.box.x2 += 120;  // three times the area
  EXPECT_NEAR(oks(pose, larger, kSigmas, kThreshold), std::exp(-25.0 / (4 * area * 0.14 * 0.14)),
              1e-5);
  EXPECT_GT(oks(pose, figure(115, 200), kSigmas, kThreshold, 2), far);
  Pose unseen = pose;
  for (size_t k = 1; k < 8; ++k) unseen.keypoints[k].score = 0;
  EXPECT_EQ(oks(pose, unseen, kSigmas, kThreshold), -1) << "too few points in common";
}

TEST(SceneChangeTest, SeesCutsAndNothingElse) {
  std::vector<uint8_t> pixels(64 * 48 * 3);
  ImageView view;
  view.data = pixels.data();
  view.width_px = 64;
  view.height_px = 48;
  view.row_stride_bytes = 64 * 3;
  const auto paint = [&](uint8_t left, uint8_t right) {
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = i / 3 % 64 < 32 ? left : right;
  };
  SceneChange scene;
  paint(50, 200);
  EXPECT_FALSE(scene.is_cut(view, 30)) << "the first picture";
  paint(60, 190);
  EXPECT_FALSE(scene.is_cut(view, 30)) << "10 levels";
  paint(190, 60);
  EXPECT_TRUE(scene.is_cut(view, 30)) << "130 levels";
  EXPECT_FALSE(scene.is_cut(view, 30));
  view.height_px = 40;
  EXPECT_TRUE(scene.is_cut(view, 30)) << "another shape";
  view.rotation_deg = 180;
  EXPECT_TRUE(scene.is_cut(view, 30)) << "turned";
  view.mirrored = true;
  EXPECT_TRUE(scene.is_cut(view, 30)) << "mirrored";
  EXPECT_FALSE(scene.is_cut(view, 30));
  view.width_px = 60;
  EXPECT_TRUE(scene.is_cut(view, 30)) << "another width";
  view.width_px = view.height_px = 1;
  EXPECT_TRUE(scene.is_cut(view, 30));
}

TEST(SceneChangeTest, LooksAtEveryPartOfTheHeight) {
  constexpr size_t kStride = 64 * 3 + 16;
  std::vector<uint8_t> pixels(48 * kStride);
  ImageView view;
  view.data = pixels.data();
  view.width_px = 64;
  view.height_px = 48;
  view.row_stride_bytes = kStride;
  const auto paint = [&](uint8_t top, uint8_t bottom) {
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = i / kStride < 24 ? top : bottom;
  };
  SceneChange scene;
  paint(50, 200);
  EXPECT_FALSE(scene.is_cut(view, 30)) << "the first picture";
  paint(50, 142);
  EXPECT_FALSE(scene.is_cut(view, 30)) << "29 levels: 58 in one half";
  paint(50, 80);
  EXPECT_TRUE(scene.is_cut(view, 30)) << "31 levels";
}

}  // namespace
}  // namespace edgepose
