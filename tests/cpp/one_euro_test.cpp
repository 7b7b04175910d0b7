#include "edgepose/one_euro.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace edgepose {
namespace {

constexpr double kTwoPi = 6.283185307179586;

SmoothingSettings settings(float min_cutoff_hz, float cutoff_per_speed) {
  SmoothingSettings s{};
  s.min_cutoff_hz = min_cutoff_hz;
  s.cutoff_per_speed = cutoff_per_speed;
  s.derivative_cutoff_hz = 1;
  s.hold_s = 0.1F;
  return s;
}

int64_t ns(double seconds) { return static_cast<int64_t>(std::llround(seconds * 1e9)); }

TEST(OneEuroTest, TheFirstValuePassesAndAConstantStays) {
  OneEuroFilter filter;
  for (const float dt_s : {0.033F, 0.001F, 2.0F, 0.1F}) {
    EXPECT_EQ(filter.next(123.25F, dt_s, 50, settings(1, 5)), 123.25F);
  }
}

TEST(OneEuroTest, AStepFollowsTheClosedForm) {
  const float cutoff_hz = 1.5F;
  OneEuroFilter filter;
  ASSERT_FLOAT_EQ(filter.next(10, 1, 1, settings(cutoff_hz, 0)), 10);
  for (int i = 1; i <= 60; ++i) {
    const double expected = 10 + 5 * (1 - std::exp(-kTwoPi * cutoff_hz * i / 30));
    EXPECT_NEAR(filter.next(15, 1.0F / 30, 1, settings(cutoff_hz, 0)), expected, 1e-4) << i;
  }
}

TEST(OneEuroTest, AStepDoesNotDependOnTheStamps) {
  std::mt19937 random(4);
  std::uniform_real_distribution<float> interval_s(0.002F, 0.2F);
  OneEuroFilter filter;
  (void)filter.next(0, 1, 1, settings(0.8F, 0));
  double time_s = 0;
  for (int i = 0; i < 100; ++i) {
    const float dt_s = interval_s(random);
    time_s += static_cast<double>(dt_s);
    const float found = filter.next(1, dt_s, 1, settings(0.8F, 0));
    EXPECT_NEAR(found, 1 - std::exp(-kTwoPi * 0.8 * time_s), 1e-4) << "after " << time_s << " s";
  }
}

// Twice the frame interval gives the same curve at the times that both have. With a cutoff that
// depends on the speed this holds for a ramp, whose speed is the same at every rate.
TEST(OneEuroTest, ADoubledIntervalGivesTheSameCurve) {
  for (const float per_speed : {0.0F, 4.0F}) {
    OneEuroFilter fast, slow;
    const SmoothingSettings s = settings(1, per_speed);
    double largest = 0;
    for (int i = 0; i <= 240; ++i) {
      const float value = 40.0F * static_cast<float>(i) / 60;  // px: 40 a second
      const float found = fast.next(value, 1.0F / 60, 80, s);
      if (i % 2 != 0) continue;
      const float other = slow.next(value, 1.0F / 30, 80, s);
      largest = std::max(largest, std::abs(static_cast<double>(found - other)));
    }
    // The ramp itself is sampled half an interval later: at most half a step of difference.
    EXPECT_LT(largest, 0.5 * 40.0 / 30 + 0.05) << per_speed;
    EXPECT_GT(largest, 0) << "the two rates must not be the same computation";
  }
}

// The lag of a ramp at rest cutoff is v / (2 pi f); the speed term must shorten it.
TEST(OneEuroTest, SpeedShortensTheLag) {
  const auto lag_px = [](float per_speed) {
    OneEuroFilter filter;
    float value = 0, found = 0;
    for (int i = 0; i < 300; ++i) {
      value = 100.0F * static_cast<float>(i) / 30;
      found = filter.next(value, 1.0F / 30, 100, settings(1, per_speed));
    }
    return value - found;
  };
  // Samples hold over the interval before them, so the lag is short of the continuous one.
  const double gain = 1 - std::exp(-kTwoPi / 30);
  EXPECT_NEAR(lag_px(0), 100.0 / 30 * (1 - gain) / gain, 0.05);
  EXPECT_LT(lag_px(5), lag_px(0) / 4);
}

// The second value by the formulas, in both directions; after a reset the speed is forgotten, too.
TEST(OneEuroTest, TheSpeedHasACutoffOfItsOwn) {
  SmoothingSettings s = settings(0.5F, 5);
  s.derivative_cutoff_hz = 2;
  const double dt_s = 1.0 / 30, size = 50;
  const auto gain = [&](double cutoff_hz) { return 1 - std::exp(-kTwoPi * cutoff_hz * dt_s); };
  OneEuroFilter filter;
  for (const float step : {12.0F, -12.0F}) {
    filter.reset();
    (void)filter.next(7, 1, 50, s);
    const double speed = gain(2) * std::abs(step) / dt_s;
    EXPECT_NEAR(filter.next(7 + step, 1.0F / 30, 50, s), 7 + gain(0.5 + 5 * speed / size) * step,
                1e-4);
  }
}

TEST(OneEuroTest, ScalesWithThePerson) {
  OneEuroFilter near, far;
  std::mt19937 random(7);
  std::normal_distribution<float> noise(0, 1);
  for (int i = 0; i < 50; ++i) {
    const float value = 3 * std::sin(static_cast<float>(i) * 0.2F) + noise(random);
    const float a = far.next(value, 1.0F / 30, 60, settings(1, 5));
    const float b = near.next(4 * value, 1.0F / 30, 240, settings(1, 5));
    EXPECT_NEAR(4 * a, b, 1e-3);
  }
}

class PoseFilterTest : public testing::Test {
 protected:
  Keypoint next(double time_s, Keypoint point) {
    std::vector<Keypoint> points = {point};
    filter_.apply(ns(7 + time_s), 100, 0.3F, settings(0.5F, 0), points);
    return points[0];
  }
  PoseFilter filter_;
};

TEST_F(PoseFilterTest, AnUnseenPointIsHeldAndThenDropped) {
  EXPECT_EQ(next(0, {10, 20, 0.3F}).x_px, 10) << "the threshold itself will do";
  const Keypoint held = next(0.05, {70, 80, 0.1F});
  EXPECT_EQ(held.x_px, 10);
  EXPECT_EQ(held.y_px, 20);
  EXPECT_EQ(held.score, 0.3F);
  const Keypoint dropped = next(0.15, {71, 81, 0.1F});
  EXPECT_EQ(dropped.x_px, 71);
  EXPECT_EQ(dropped.score, 0.1F);
  const Keypoint again = next(0.2, {50, 60, 0.8F});
  EXPECT_EQ(again.x_px, 50) << "it begins anew after a drop";
  EXPECT_EQ(again.y_px, 60);
}

TEST_F(PoseFilterTest, AHeldPointKeepsItsDepth) {
  const auto depth = [this](double time_s, float z, float score) {
    std::vector<Keypoint> points = {{10, 20, score}, {10, 20, 0.9F}};
    std::vector<float> depths = {z, 5};
    filter_.apply(ns(7 + time_s), 100, 0.3F, settings(0.5F, 0), points, depths);
    EXPECT_EQ(depths[1], 5);
    return depths[0];
  };
  EXPECT_EQ(depth(0, 0.5F, 0.9F), 0.5F);
  EXPECT_EQ(depth(0.05, 0.25F, 0.9F), 0.25F) << "depths are not smoothed";
  EXPECT_EQ(depth(0.1, -2.5F, 0), 0.25F);
  EXPECT_EQ(depth(0.5, -2.5F, 0), -2.5F) << "dropped";
}

TEST_F(PoseFilterTest, APointOfScoreZeroIsNeverTaken) {
  std::vector<Keypoint> points = {{5, 5, 0}};
  filter_.apply(0, 100, 0, settings(1, 0), points);
  EXPECT_EQ(points[0].x_px, 5);
  points = {{50, 60, 0.5F}};
  filter_.apply(ns(0.01), 100, 0, settings(1, 0), points);
  EXPECT_EQ(points[0].x_px, 50);
}

TEST_F(PoseFilterTest, AResetForgets) {
  (void)next(0, {10, 20, 0.9F});
  filter_.reset();
  EXPECT_EQ(next(0.03, {90, 20, 0.9F}).x_px, 90);
}

TEST_F(PoseFilterTest, FiltersEachAxis) {
  (void)next(0, {0, 0, 0.9F});
  const Keypoint point = next(0.1, {10, -20, 0.9F});
  const double gain = 1 - std::exp(-kTwoPi * 0.5 * 0.1);
  EXPECT_NEAR(point.x_px, 10 * gain, 1e-4);
  EXPECT_NEAR(point.y_px, -20 * gain, 1e-4);
}

}  // namespace
}  // namespace edgepose
