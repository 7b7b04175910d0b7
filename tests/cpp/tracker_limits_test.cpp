// Where the tracker's rules end: who is near another, who has left the picture, whose boxes are in
// one place.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "edgepose/one_euro.h"
#include "tracker_fixture.h"

namespace edgepose {
namespace {

TEST_F(TrackerTest, WhoLessThanAPixelShowsOfHasLeft) {
  const std::pair<float, float> edges[] = {
      {-29.5F, 200}, {669.5F, 200}, {300, -59.5F}, {300, 539.5F}};
  for (const auto& [x_px, y_px] : edges) {
    for (const float inwards_px : {0.0F, 1.0F}) {
      tracker_.reset();
      const float x = x_px + (x_px < 0 ? inwards_px : x_px > 640 ? -inwards_px : 0);
      const float y = y_px + (y_px < 0 ? inwards_px : y_px > 480 ? -inwards_px : 0);
      EXPECT_EQ(frame({figure(x, y)}), Ids({1}));
      ASSERT_TRUE(tracker_.begin(time_ns_ += kFrame_ns, 640, 480).ok());
      EXPECT_EQ(tracker_.predict().size(), inwards_px > 0 ? 1U : 0U) << x << ", " << y;
    }
  }
}

TEST_F(TrackerTest, EquallyGoodBoxesComeInTheOrderOfTheirIds) {
  frame({figure(500, 200, 0, 0.7F), figure(100, 200, 0, 0.7F), figure(300, 200, 0, 0.7F)});
  ASSERT_TRUE(tracker_.begin(time_ns_ += kFrame_ns, 640, 480).ok());
  const auto& expected = tracker_.predict();
  ASSERT_EQ(expected.size(), 3U);
  EXPECT_EQ(expected[0].box.x1, 470);
  EXPECT_EQ(expected[1].box.x1, 70);
  EXPECT_EQ(expected[2].box.x1, 270);
}

TEST_F(TrackerTest, ANewPersonOfWhomATenthIsCoveredIsNotNearOthers) {
  EXPECT_EQ(frame({figure(300, 200)}), Ids({1}));
  EXPECT_EQ(frame({figure(300, 200), figure(354, 200)}), Ids({1, 2}));
}

// What counts is the share of the new person's own box.
TEST_F(TrackerTest, AChildInFrontOfAnAdultIsNearAndAnAdultBehindAChildIsNot) {
  Pose child = figure(300, 200);
  child.box = {300, 180, 320, 220};
  for (Keypoint& point : child.keypoints) {
    point.x_px = 310 + (point.x_px - 300) / 3;
    point.y_px = 200 + (point.y_px - 200) / 3;
  }
  EXPECT_EQ(frame({figure(300, 200)}), Ids({1}));
  EXPECT_EQ(frame({figure(300, 200), child}), Ids({1, -1}));
  tracker_.reset();
  EXPECT_EQ(frame({child}), Ids({1}));
  EXPECT_EQ(frame({child, figure(300, 200)}), Ids({1, 2}));
}

TEST_F(TrackerTest, SightingsOfANewPersonAddUpInOnePlaceOnly) {
  const Pose old = figure(300, 200);
  const auto last_of = [&](const std::vector<float>& places_px) {
    tracker_.reset();
    frame({old});
    Ids ids;
    for (const float x_px : places_px) ids = frame({old, figure(x_px, 200, 3)});
    return ids;
  };
  EXPECT_EQ(last_of({335, 345, 335}), Ids({1, 2}));
  EXPECT_EQ(last_of({335, 290, 335}), Ids({1, -1}));
}

TEST_F(TrackerTest, InAnEmptySceneTheFirstPersonsGetTracksAtOnce) {
  EXPECT_EQ(frame({}), Ids());
  EXPECT_EQ(frame({figure(300, 200), figure(335, 200, 3)}), Ids({1, 2}));
}

TEST_F(TrackerTest, AFollowedPoseNeverBringsALostPersonBackOrStartsATrack) {
  frame({figure(100, 200), figure(400, 200)});
  EXPECT_EQ(frame({figure(100, 200)}), Ids({1}));
  EXPECT_EQ(frame({figure(100, 200), figure(400, 200)}, Tracker::Source::kFollowed), Ids({1}));
  EXPECT_EQ(frame({figure(100, 200), figure(400, 200)}), Ids({1, 2}));
}

class AdvanceTest : public TrackerTest {
 protected:
  // Where the left side of a detection goes that has a figure's box.
  float advanced(float x_px) {
    std::vector<Detection> detections(1);
    detections[0].box = figure(x_px, 200).box;
    tracker_.advance(detections);
    return detections[0].box.x1 + 30;
  }
};

TEST_F(AdvanceTest, ABoxThatHardlyOverlapsIsOfNobody) {
  frame({figure(100, 200)});
  tracker_.remember();
  frame({figure(110, 200)});
  EXPECT_EQ(advanced(145), 145) << "an IoU of 0.14";
}

TEST_F(AdvanceTest, TheMostAlikeOfTwoPersonsCounts) {
  EXPECT_EQ(frame({figure(100, 200), figure(130, 200, 3)}), Ids({1, 2}));
  tracker_.remember();
  EXPECT_EQ(frame({figure(110, 200), figure(130, 200, 3)}), Ids({1, 2}));
  EXPECT_NEAR(advanced(100), 110, 0.1F);
  EXPECT_NEAR(advanced(130), 130, 0.1F);
}

TEST_F(AdvanceTest, WhoWasOrIsLostIsNotMoved) {
  frame({figure(100, 200)});
  frame({});
  tracker_.remember();
  EXPECT_EQ(frame({figure(115, 200)}), Ids({1}));
  EXPECT_EQ(advanced(100), 100) << "lost then";
  tracker_.remember();
  frame({});
  EXPECT_EQ(advanced(115), 115) << "lost now";
}

TEST_F(AdvanceTest, ANewPersonDoesNotInheritWhatIsRememberedOfAnother) {
  frame({figure(100, 200)});
  tracker_.remember();
  for (int i = 0; i < 40; ++i) frame({});
  EXPECT_EQ(frame({figure(400, 200)}), Ids({2}));
  EXPECT_EQ(advanced(100), 100);
}

TEST_F(TrackerTest, APredictionEndsAndAVelocityFollowsTheLatestMotion) {
  for (int i = 0; i < 30; ++i) frame({figure(100, 200)});
  for (int i = 1; i <= 15; ++i) frame({figure(100 + 6 * static_cast<float>(i), 200)});
  // 15 frames are 2.5 times velocity_time_s.
  const float step_px = 6 * (1 - std::exp(-2.5F));
  const auto expected_px = [&](int frames) {
    EXPECT_TRUE(tracker_.begin(time_ns_ + frames * kFrame_ns, 640, 480).ok());
    return tracker_.predict().at(0).box.x1 + 30;
  };
  EXPECT_NEAR(expected_px(1), 190 + step_px, 0.1F);
  EXPECT_NEAR(expected_px(29), 190 + 21 * step_px, 1) << "max_prediction_s are 21 frames";
}

TEST_F(TrackerTest, OfAlikePosesTheOneOfTheBetterBoxAndPointsRemains) {
  Pose pale = figure(101, 200, 0, 0.9F);
  for (Keypoint& point : pale.keypoints) point.score = 0.4F;
  EXPECT_EQ(frame({pale, figure(100, 200)}), Ids({1}));
  EXPECT_EQ(poses_[0].box_score, 0.8F);
  // The middle one is like both others, and goes; they are not like each other.
  tracker_.reset();
  EXPECT_EQ(frame({figure(100, 200, 0, 0.9F), figure(104.5F, 200), figure(109, 200, 0, 0.7F)}),
            Ids({1, 2}));
  EXPECT_EQ(poses_[1].box_score, 0.7F);
  // Who goes takes no track from the one that remains.
  tracker_.reset();
  frame({figure(100, 200)});
  EXPECT_EQ(frame({figure(100, 200, 0, 0.85F), figure(104, 200, 0, 0.9F)}), Ids({1}));
}

TEST_F(TrackerTest, ADetectedPersonWithUncertainPointsRemainsAndIsKnownByTheBox) {
  Pose unseen = figure(100, 200);
  for (Keypoint& point : unseen.keypoints) point.score = 0.1F;
  EXPECT_EQ(frame({figure(100, 200)}), Ids({1}));
  EXPECT_EQ(frame({unseen}), Ids({1}));
}

TEST_F(TrackerTest, TheLongerUnseenTheFurtherAway) {
  for (const int unseen_frames : {0, 14}) {
    tracker_.reset();
    frame({figure(100, 200)});
    for (int i = 0; i < unseen_frames; ++i) frame({});
    EXPECT_EQ(frame({figure(130, 200)}), unseen_frames == 0 ? Ids({2}) : Ids({1}));
  }
}

TEST_F(TrackerTest, LikenessIsThatOfThePoseAndTheMoreCertainBoxWins) {
  frame({figure(100, 200)});
  EXPECT_EQ(frame({figure(122, 200, 0, 0.5F)}), Ids({1})) << "a low score makes nobody unlike";
  const Pose exact = figure(100, 200, 0, 0.4F), certain = figure(106, 200, 0, 0.9F);
  for (const bool exact_first : {false, true}) {
    tracker_.reset();
    frame({figure(100, 200)});
    EXPECT_EQ(exact_first ? frame({exact, certain}) : frame({certain, exact}),
              exact_first ? Ids({-1, 1}) : Ids({1, -1}));
  }
}

TEST_F(TrackerTest, TheWeightIsThatOfThePoints) {
  Pose others_points = figure(100, 200), others_box = figure(100, 200);
  others_points.keypoints = figure(160, 200).keypoints;
  others_box.box = figure(160, 200).box;
  for (const float weight : {0.0F, 1.0F}) {
    TrackingSettings settings = test_tracking();
    settings.keypoint_weight = weight;
    for (const bool points_stay : {false, true}) {
      Tracker tracker(settings, kSigmas, kThreshold, false);
      Pose poses[] = {figure(100, 200), points_stay ? others_box : others_points};
      for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(tracker.begin(i * kFrame_ns, 640, 480).ok());
        tracker.update(Tracker::Source::kDetected, {&poses[i], 1});
      }
      EXPECT_EQ(poses[1].track_id, points_stay == (weight == 1) ? 1 : 2);
    }
  }
}

// Near others the pose of one person can be found in the box of another.
TEST_F(TrackerTest, WhoWasLastSeenInTheWrongPlaceIsKnownByTheLastClearOne) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(frame({figure(300, 200), figure(344, 200)}), Ids({1, 2}));
  EXPECT_EQ(frame({figure(322, 200), figure(344, 200)}), Ids({1, 2}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(frame({figure(344, 200)}), Ids({2}));
  EXPECT_EQ(frame({figure(276, 200), figure(344, 200)}), Ids({1, 2}));
}

// For one who was never lost both places count.
TEST_F(TrackerTest, WhoIsFollowedNearOthersIsNotKnownByOnePlaceAlone) {
  for (int i = 0; i < 9; ++i) {
    const float left_px = 12 * static_cast<float>(std::max(0, i - 4));
    EXPECT_EQ(frame({figure(300 - left_px, 200), figure(344 - left_px, 200)}), Ids({1, 2}));
  }
  EXPECT_EQ(frame({figure(224, 200), figure(290, 200)}), Ids({3, 2}));
}

TEST_F(TrackerTest, AClearSightingMovesOnAsItsPersonDidThen) {
  Pose wide = figure(300, 200);
  wide.box = {150, 100, 450, 300};
  for (const bool down : {false, true}) {
    tracker_.reset();
    const auto seen = [&](std::vector<Pose> poses) {
      for (Pose& pose : poses) pose = down ? transposed(pose) : pose;
      return frame(std::move(poses));
    };
    for (int i = 0; i < 7; ++i)
      EXPECT_EQ(seen({figure(40 + 15 * static_cast<float>(i), 200), wide}), Ids({1, 2}));
    EXPECT_EQ(seen({figure(133, 200), wide}), Ids({1, 2}));  // the first one that is not clear
    for (int i = 0; i < 11; ++i) EXPECT_EQ(seen({wide}), Ids({2}));
    EXPECT_EQ(seen({figure(335, 200), wide}), Ids({1, 2})) << (down ? "down" : "across");
  }
}

// A jump as far as a match allows: an average with a place of long ago would forbid it.
TEST_F(TrackerTest, AClearSightingIsTheFirstOneAndNeverOld) {
  const auto jumps = [&](int frames) {
    tracker_.reset();
    float x_px = 100;
    for (int i = 0; i < frames; ++i, x_px += 2)
      EXPECT_EQ(frame({figure(x_px, 200), figure(x_px + 40, 200)}), Ids({1, 2}));
    return frame({figure(x_px - 22, 200), figure(x_px + 40, 200)});
  };
  EXPECT_EQ(jumps(1), Ids({1, 2}));
  EXPECT_EQ(jumps(90), Ids({1, 2}));
}

TEST_F(TrackerTest, WhoIsAloneIsSeenClearlyAlsoAfterAnAbsence) {
  float x_px = 100;
  for (int i = 0; i < 40; ++i, x_px += 6) EXPECT_EQ(frame({figure(x_px, 200)}), Ids({1}));
  EXPECT_EQ(frame({figure(x_px + 22, 200)}), Ids({1}));
  tracker_.reset();
  frame({figure(100, 200)});
  for (int i = 0; i < 5; ++i) frame({});
  EXPECT_EQ(frame({figure(115, 200)}), Ids({1}));
  EXPECT_EQ(frame({figure(139, 200)}), Ids({1}));
}

TEST_F(TrackerTest, WhoAppearsNearALostPersonMayBeThatPerson) {
  frame({figure(300, 200)});
  frame({});
  EXPECT_EQ(frame({figure(335, 200, 3)}), Ids({-1}));
}

TEST_F(TrackerTest, FollowedAndMovedBoxesEndAtTheEdgesOfThePicture) {
  const auto inside = [](const BoxXyxy& box) {
    return box.x1 >= 0 && box.y1 >= 0 && box.x2 <= 640 && box.y2 <= 480;
  };
  for (const auto& [x_px, y_px] : {std::pair{620.0F, 440.0F}, std::pair{10.0F, 20.0F}}) {
    tracker_.reset();
    frame({figure(x_px, y_px)});
    tracker_.remember();
    ASSERT_EQ(frame({figure(x_px, y_px)}, Tracker::Source::kFollowed), Ids({1}));
    EXPECT_TRUE(inside(poses_[0].box));
    EXPECT_NEAR(poses_[0].box.x1, std::max(x_px - 30, 0.0F), 1);
    EXPECT_NEAR(poses_[0].box.y2, std::min(y_px + 60, 480.0F), 1);
    std::vector<Detection> detections(1);
    detections[0].box = figure(x_px, y_px).box;
    tracker_.advance(detections);
    EXPECT_TRUE(inside(detections[0].box));
  }
}

// The size of a person is the root of the box area; a point that is uncertain for a frame is held;
// a lost person's filter begins anew.
TEST(SmoothedTrackerTest, GivesWhatThePoseFilterGives) {
  Tracker tracker(test_tracking(), kSigmas, kThreshold, true);
  PoseFilter filter;
  for (int i = 0; i < 20; ++i) {
    const bool absent = i == 12 || i == 13;
    Pose pose = figure(200 + 5 * static_cast<float>(i % 3), 200 + 4 * static_cast<float>(i % 2));
    pose.z.assign(pose.keypoints.size(), static_cast<float>(i));
    if (i == 7) pose.keypoints[3].score = 0.1F;
    Pose expected = pose;
    const int64_t time_ns = (i + 1) * kFrame_ns;
    ASSERT_TRUE(tracker.begin(time_ns, 640, 480).ok());
    ASSERT_EQ(tracker.update(Tracker::Source::kDetected, {&pose, absent ? 0U : 1U}),
              absent ? 0U : 1U);
    if (absent) {
      filter.reset();
      continue;
    }
    filter.apply(time_ns, std::sqrt(60.0F * 120), kThreshold, test_tracking().smoothing,
                 expected.keypoints, expected.z);
    EXPECT_EQ(pose.track_id, 1);
    EXPECT_EQ(pose.z, expected.z) << i;
    for (size_t k = 0; k < pose.keypoints.size(); ++k) {
      EXPECT_EQ(pose.keypoints[k].x_px, expected.keypoints[k].x_px) << i;
      EXPECT_EQ(pose.keypoints[k].y_px, expected.keypoints[k].y_px) << i;
      EXPECT_EQ(pose.keypoints[k].score, expected.keypoints[k].score) << i;
    }
  }
}

}  // namespace
}  // namespace edgepose
