#ifndef EDGEPOSE_TESTS_CPP_DCC_ARRAYS_H_
#define EDGEPOSE_TESTS_CPP_DCC_ARRAYS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dcc.h"

namespace edgepose {

constexpr float kPadding = 1.25f;
// Sizes that are not multiples of a vector register.
constexpr int kPoints = 3, kChannels = 5, kWidth = 10, kAttention = 7, kInner = 12, kPeriods = 6;
constexpr int kXBins = 19, kYBins = 37;

inline std::vector<float> random_values(int count, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

inline std::vector<float> bins(int count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i)
    values[static_cast<size_t>(i)] = -0.5f + static_cast<float>(i) / static_cast<float>(count - 1);
  return values;
}

inline DccArrays random_arrays() {
  DccArrays a = {};
  a.keypoints = kPoints;
  a.pose_channels = kChannels;
  a.width = kWidth;
  a.attention = kAttention;
  a.inner = kInner;
  a.periods = kPeriods;
  a.x_bin_count = kXBins;
  a.y_bin_count = kYBins;
  a.pose_weight = random_values(kPoints * kWidth * kChannels, 0.5f, 1);
  a.pose_bias = random_values(kPoints * kWidth, 0.5f, 2);
  a.norm_gain = {1.3f};
  a.uv_weight = random_values((2 * kInner + kAttention) * kWidth, 0.5f, 3);
  a.query_scale = random_values(kAttention, 0.5f, 4);
  a.query_offset = random_values(kPoints * kAttention, 0.5f, 5);
  a.key_scale = random_values(kAttention, 0.5f, 6);
  a.key_offset = random_values(kPoints * kAttention, 0.5f, 7);
  a.out_weight = random_values(kWidth * kInner, 0.5f, 8);
  a.residual_scale = random_values(kWidth, 0.5f, 9);
  a.x_weight = random_values(kWidth * 2 * kPeriods, 0.3f, 10);
  a.y_weight = random_values(kWidth * 2 * kPeriods, 0.3f, 11);
  for (int p = 0; p < kPeriods; ++p)
    a.frequencies.push_back(std::pow(300.0f, -static_cast<float>(p) / kPeriods));
  a.x_bins = bins(kXBins);
  a.y_bins = bins(kYBins);
  return a;
}

inline std::string bytes_of(const DccArrays& a) {
  std::string bytes = "EPDCC001";
  const auto append = [&bytes](uint32_t v) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<char>(v >> shift & 0xff));
  };
  for (int d : {a.keypoints, a.pose_channels, a.width, a.attention, a.inner, a.periods,
                a.x_bin_count, a.y_bin_count}) {
    append(static_cast<uint32_t>(d));
  }
  for (const auto* part :
       {&a.pose_weight, &a.pose_bias, &a.norm_gain, &a.uv_weight, &a.query_scale, &a.query_offset,
        &a.key_scale, &a.key_offset, &a.out_weight, &a.residual_scale, &a.x_weight, &a.y_weight,
        &a.frequencies, &a.x_bins, &a.y_bins}) {
    for (float value : *part) {
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      append(bits);
    }
  }
  return bytes;
}

// One axis of the reference: the mean of the bins under the softmax of token . (weight code).
inline double located(const DccArrays& a, const std::vector<double>& token,
                      const std::vector<float>& weight, const std::vector<float>& unit_bins,
                      double low, double high, double prior) {
  std::vector<double> logits, places;
  for (float unit : unit_bins) {
    const double place = unit * (high - low) * kPadding + (low + high) / 2;
    double logit = 0;
    for (size_t p = 0; p < kPeriods; ++p) {
      const double phase = (place - prior) * a.frequencies[p];
      for (size_t f = 0; f < kWidth; ++f) {
        logit += token[f] * (weight[f * 2 * kPeriods + p] * std::cos(phase) +
                             weight[f * 2 * kPeriods + kPeriods + p] * std::sin(phase));
      }
    }
    places.push_back(place);
    logits.push_back(logit);
  }
  double total = 0, mean = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    total += std::exp(logits[i]);
    mean += std::exp(logits[i]) * places[i];
  }
  return mean / total;
}

// The text of edgepose/nets/dcc.py, step by step in double precision.
inline std::vector<double> reference(const DccArrays& a, const DccCell& cell) {
  const size_t rows = 2 * kInner + kAttention;
  std::vector<std::vector<double>> tokens(kPoints, std::vector<double>(kWidth)),
      gates(kPoints, std::vector<double>(rows));
  for (size_t k = 0; k < kPoints; ++k) {
    double squares = 0;
    for (size_t f = 0; f < kWidth; ++f) {
      tokens[k][f] = a.pose_bias[k * kWidth + f];
      for (size_t c = 0; c < kChannels; ++c)
        tokens[k][f] += double{a.pose_weight[(k * kWidth + f) * kChannels + c]} *
                        cell.pose[static_cast<ptrdiff_t>(c) * cell.pose_stride];
      squares += tokens[k][f] * tokens[k][f];
    }
    for (size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (size_t f = 0; f < kWidth; ++f)
        sum += a.uv_weight[r * kWidth + f] * tokens[k][f] /
               std::max(std::sqrt(squares / kWidth), 1e-5) * a.norm_gain[0];
      gates[k][r] = sum / (1 + std::exp(-sum));
    }
  }
  std::vector<double> points;
  for (size_t k = 0; k < kPoints; ++k) {
    std::vector<double> mixed(kInner), token(kWidth);
    for (size_t j = 0; j < kPoints; ++j) {
      double product = 0;
      for (size_t i = 0; i < kAttention; ++i) {
        product +=
            (gates[k][2 * kInner + i] * a.query_scale[i] + a.query_offset[k * kAttention + i]) *
            (gates[j][2 * kInner + i] * a.key_scale[i] + a.key_offset[j * kAttention + i]);
      }
      for (size_t e = 0; e < kInner; ++e)
        mixed[e] += product > 0 ? product * product * gates[j][kInner + e] : 0;
    }
    for (size_t f = 0; f < kWidth; ++f) {
      token[f] = a.residual_scale[f] * tokens[k][f];
      for (size_t e = 0; e < kInner; ++e)
        token[f] += a.out_weight[f * kInner + e] * gates[k][e] * mixed[e];
    }
    points.push_back(
        located(a, token, a.x_weight, a.x_bins, cell.box.x1, cell.box.x2, cell.prior_x));
    points.push_back(
        located(a, token, a.y_weight, a.y_bins, cell.box.y1, cell.box.y2, cell.prior_y));
  }
  return points;
}

}  // namespace edgepose

#endif  // EDGEPOSE_TESTS_CPP_DCC_ARRAYS_H_
