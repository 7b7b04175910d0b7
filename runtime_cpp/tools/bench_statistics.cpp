#include "bench_statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

namespace edgepose::tools {
namespace {

constexpr std::array<int, 4> kPercentiles = {50, 90, 95, 99};
constexpr double kTail = 0.025;
constexpr size_t kMaxDraws = 500;
constexpr size_t kMinDraws = 100;
constexpr size_t kMaxDrawn = 4'000'000;
constexpr uint64_t kSeed = 20;

// Linear between the neighbours, as NumPy does it.
template <typename T>
double quantile(const std::vector<T>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const auto low = static_cast<double>(sorted[below]);
  return low + (place - static_cast<double>(below)) * (static_cast<double>(sorted[above]) - low);
}

}  // namespace

nlohmann::ordered_json summarise(const std::vector<int64_t>& values) {
  const size_t count = values.size();
  std::vector<int64_t> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  // Successive frames resemble each other, so blocks are drawn, in a circle.
  const auto block =
      static_cast<size_t>(std::max(1.0, std::round(std::sqrt(static_cast<double>(count)))));
  const size_t draws = std::clamp(kMaxDrawn / count, kMinDraws, kMaxDraws);
  std::mt19937_64 random(kSeed);
  std::array<std::vector<double>, kPercentiles.size()> drawn;
  std::vector<int64_t> sample(count);
  for (size_t draw = 0; draw < draws; ++draw) {
    for (size_t at = 0; at < count; at += block) {
      const size_t start = random() % count;
      for (size_t i = 0; i < block && at + i < count; ++i)
        sample[at + i] = values[(start + i) % count];
    }
    std::sort(sample.begin(), sample.end());
    for (size_t p = 0; p < kPercentiles.size(); ++p)
      drawn[p].push_back(quantile(sample, kPercentiles[p] / 100.0));
  }
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  nlohmann::ordered_json summary = {{"count", count},
                                    {"mean", sum / static_cast<double>(count)},
                                    {"min", static_cast<double>(sorted.front())},
                                    {"max", static_cast<double>(sorted.back())}};
  for (size_t p = 0; p < kPercentiles.size(); ++p) {
    std::sort(drawn[p].begin(), drawn[p].end());
    const double value = quantile(sorted, kPercentiles[p] / 100.0);
    // The interval holds the value itself also where few samples make the draws lopsided.
    summary["p" + std::to_string(kPercentiles[p])] = {
        {"value", value},
        {"low", std::min(quantile(drawn[p], kTail), value)},
        {"high", std::max(quantile(drawn[p], 1 - kTail), value)}};
  }
  return summary;
}

}  // namespace edgepose::tools
