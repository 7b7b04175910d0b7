#include "assignment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace edgepose {
namespace {

float total(const std::vector<float>& gains, size_t columns,
            const std::vector<int>& column_of_row) {
  float sum = 0;
  for (size_t r = 0; r < column_of_row.size(); ++r) {
    if (column_of_row[r] >= 0) sum += gains[r * columns + static_cast<size_t>(column_of_row[r])];
  }
  return sum;
}

// The best sum over all permutations.
float exhaustive(const std::vector<float>& gains, size_t rows, size_t columns) {
  std::vector<size_t> order(std::max(rows, columns));
  std::iota(order.begin(), order.end(), size_t{0});
  float best = 0;
  do {
    float sum = 0;
    for (size_t r = 0; r < rows; ++r) {
      if (order[r] < columns) sum += gains[r * columns + order[r]];
    }
    best = std::max(best, sum);
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

TEST(AssignmentTest, FindsTheBestSumOfAll) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> gain(0, 1);
  Assignment assignment;
  std::vector<int> found;
  for (size_t rows = 1; rows <= 5; ++rows) {
    for (size_t columns = 1; columns <= 5; ++columns) {
      for (int round = 0; round < 20; ++round) {
        std::vector<float> gains(rows * columns);
        for (float& g : gains) g = random() % 3 == 0 ? 0 : gain(random);
        assignment.solve(rows, columns, gains, &found);
        ASSERT_EQ(found.size(), rows);
        EXPECT_NEAR(total(gains, columns, found), exhaustive(gains, rows, columns), 1e-5);
        std::vector<int> used;
        for (size_t r = 0; r < rows; ++r) {
          if (found[r] < 0) continue;
          EXPECT_GT(gains[r * columns + static_cast<size_t>(found[r])], 0);
          used.push_back(found[r]);
        }
        std::sort(used.begin(), used.end());
        EXPECT_EQ(std::adjacent_find(used.begin(), used.end()), used.end()) << "a column twice";
      }
    }
  }
}

TEST(AssignmentTest, NothingToPair) {
  Assignment assignment;
  std::vector<int> found = {7};
  const std::vector<float> zeros(6, 0.0F);
  assignment.solve(2, 3, zeros, &found);
  EXPECT_EQ(found, std::vector<int>({-1, -1}));
}

}  // namespace
}  // namespace edgepose
