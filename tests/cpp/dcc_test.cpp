#include "dcc.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "dcc_arrays.h"

namespace edgepose {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Dcc, EqualsItsDefinition) {
  const DccArrays arrays = random_arrays();
  constexpr int kCells = 21;
  const std::vector<float> poses = random_values(kCells * kChannels, 1, 12);
  std::vector<DccCell> cells;
  for (int i = 0; i < kCells; ++i) {
    const float x = 20.0f * static_cast<float>(i), y = 300.0f - 10 * static_cast<float>(i);
    cells.push_back({poses.data() + i,
                     kCells,
                     {x, y, x + 30 + 9 * static_cast<float>(i), y + 80},
                     x + 7.5f,
                     y + 31});
  }
  for (const DccKernels* kernels : usable_dcc_kernels()) {
    const Dcc dcc(arrays, *kernels);
    DccScratch scratch;
    std::vector<DccPoint> points(kCells * kPoints);
    dcc.decode(cells.data(), kCells, kPadding, &scratch, points.data());
    for (size_t i = 0; i < kCells; ++i) {
      const std::vector<double> expected = reference(arrays, cells[i]);
      for (size_t k = 0; k < kPoints; ++k) {
        EXPECT_NEAR(points[i * kPoints + k].x, expected[2 * k], 2e-3) << kernels->name;
        EXPECT_NEAR(points[i * kPoints + k].y, expected[2 * k + 1], 2e-3) << kernels->name;
      }
    }
  }
}

TEST(Dcc, SinesOfAllQuarters) {
  for (const DccKernels* kernels : usable_dcc_kernels()) {
    std::vector<float> turns(2000), sine(2000), cosine(2000);
    for (size_t i = 0; i < turns.size(); ++i) turns[i] = static_cast<float>(i) / 1999 - 0.5f;
    kernels->sine_cosine(turns.data(), 2000, sine.data(), cosine.data());
    for (size_t i = 0; i < turns.size(); ++i) {
      EXPECT_NEAR(sine[i], std::sin(6.283185307179586 * turns[i]), 3e-7);
      EXPECT_NEAR(cosine[i], std::cos(6.283185307179586 * turns[i]), 3e-7);
    }
  }
}

TEST(DccFile, KeepsEveryValue) {
  const DccArrays arrays = random_arrays();
  const Result<DccArrays> read = parse_dcc_file(bytes_of(arrays));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read.value().pose_weight, arrays.pose_weight);
  EXPECT_EQ(read.value().y_weight, arrays.y_weight);
  EXPECT_EQ(read.value().y_bins, arrays.y_bins);
  EXPECT_EQ(read.value().inner, kInner);
}

TEST(DccFile, RefusesDamage) {
  const std::string good = bytes_of(random_arrays());
  const auto code = [](const std::string& bytes) { return parse_dcc_file(bytes).status().code(); };
  for (size_t size : {size_t{0}, size_t{7}, size_t{39}, good.size() - 1, good.size() - 4}) {
    EXPECT_EQ(code(good.substr(0, size)), Code::kInvalidBundle);
  }
  EXPECT_EQ(code(good + '\0'), Code::kInvalidBundle);
  std::mt19937 random(1);
  for (size_t at = 0; at < 40; ++at) {  // every byte of the magic and of the dimensions
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 + random() % 255));
    EXPECT_EQ(code(bad), Code::kInvalidBundle) << at;
  }
  DccArrays arrays = random_arrays();
  arrays.out_weight[3] = kNan;
  EXPECT_EQ(code(bytes_of(arrays)), Code::kInvalidBundle);
  arrays = random_arrays();
  arrays.x_bins[4] += 0.01f;
  EXPECT_EQ(code(bytes_of(arrays)), Code::kInvalidBundle);
  arrays = random_arrays();
  arrays.y_bins[4] += 0.01f;
  EXPECT_EQ(code(bytes_of(arrays)), Code::kInvalidBundle);
  arrays.y_bins.assign(kYBins, 0.1f);
  EXPECT_EQ(code(bytes_of(arrays)), Code::kInvalidBundle) << "all in one place";
  for (const int periods : {0, 4097}) {  // whole, but of a size that is not allowed
    arrays = random_arrays();
    arrays.periods = periods;
    arrays.x_weight.assign(static_cast<size_t>(kWidth * 2 * periods), 0);
    arrays.y_weight = arrays.x_weight;
    arrays.frequencies.assign(static_cast<size_t>(periods), 1);
    EXPECT_EQ(code(bytes_of(arrays)), Code::kInvalidBundle) << periods;
  }
  EXPECT_EQ(read_dcc_file("no such file").status().code(), Code::kIo);
}

}  // namespace
}  // namespace edgepose
