#include "edgepose/simcc.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "row_maximum.h"

namespace edgepose {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int kBins = 20;

SimccHead head() {
  SimccHead h = {};
  h.split_ratio = 2;
  h.z_range = 2;
  return h;
}

struct Rows {
  std::vector<float> x = std::vector<float>(kBins, 0.1f), y = x, z = x;
};

Keypoint decode(const Rows& rows, float* z = nullptr, const InputTransform& transform = {}) {
  Keypoint point;
  decode_simcc(rows.x.data(), kBins, rows.y.data(), kBins, z != nullptr ? rows.z.data() : nullptr,
               z != nullptr ? kBins : 0, 1, head(), transform, &point, z);
  return point;
}

TEST(Simcc, TakesTheMaximaAndTheSmallerScore) {
  Rows rows;
  rows.x[7] = 3;
  rows.y[18] = 2;
  const Keypoint point = decode(rows, nullptr, {3, 4, 100, -200});
  EXPECT_EQ(point.x_px, 3.5f * 3 + 100);
  EXPECT_EQ(point.y_px, 9.0f * 4 - 200);
  EXPECT_EQ(point.score, 2);
}

TEST(Simcc, FirstOfEqualMaximaWins) {
  Rows rows;
  rows.x[4] = rows.x[11] = rows.x[19] = 1;
  rows.y[19] = rows.y[0] = 1;
  const Keypoint point = decode(rows);
  EXPECT_EQ(point.x_px, 2);
  EXPECT_EQ(point.y_px, 0);
}

TEST(Simcc, NothingPositiveIsMissing) {
  Rows zero, negative;
  zero.x.assign(kBins, 0);
  negative.y.assign(kBins, -1);
  for (const Rows& rows : {zero, negative}) {
    const Keypoint point = decode(rows);
    EXPECT_EQ(point.score, 0);
    EXPECT_EQ(point.x_px, -0.5f);
    EXPECT_EQ(point.y_px, -0.5f);
  }
}

TEST(Simcc, ValuesThatAreNotFiniteNeverBecomeCoordinates) {
  for (float bad : {kNan, kInf, -kInf}) {
    for (int axis = 0; axis < 3; ++axis) {
      for (size_t at = 0; at < kBins; ++at) {
        Rows rows;
        rows.x[3] = rows.y[3] = rows.z[3] = 1;
        (axis == 0 ? rows.x : axis == 1 ? rows.y : rows.z)[at] = bad;
        float z = kNan;
        const Keypoint point = decode(rows, &z);
        EXPECT_EQ(point.score, 0);
        EXPECT_EQ(point.x_px, -0.5f);
        EXPECT_EQ(point.y_px, -0.5f);
        EXPECT_TRUE(std::isfinite(z));
      }
    }
  }
}

TEST(Simcc, DepthIsRelativeToTheMiddleOfItsRange) {
  Rows rows;
  rows.x[0] = rows.y[0] = 1;
  float z = 0;
  rows.z[10] = 5;  // bin 10 of 20
  EXPECT_GT(decode(rows, &z).score, 0);
  EXPECT_EQ(z, 0);
  rows.z[15] = 6;
  decode(rows, &z);
  EXPECT_EQ(z, 1);
}

TEST(Simcc, VectorMaximumEqualsTheScalarOne) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<float> row(1 + random() % 70);
    for (float& v : row) v = static_cast<float>(static_cast<int>(random() % 9) - 6);  // many ties
    if (round % 4 == 0) row[random() % row.size()] = round % 8 == 0 ? kNan : kInf;
    const int length = static_cast<int>(row.size());
    const RowMaximum a = row_maximum(row.data(), length),
                     b = row_maximum_scalar(row.data(), length);
    ASSERT_EQ(a.finite, b.finite);
    ASSERT_EQ(a.index, b.index);
    ASSERT_EQ(a.value, b.value);
  }
}

}  // namespace
}  // namespace edgepose
