#include "edgepose/rtmo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "dcc.h"
#include "worker_pool.h"

namespace edgepose {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kPadding = 1.25f;
// Sizes that are not multiples of a vector register.
constexpr int kPoints = 3, kChannels = 5, kWidth = 10, kAttention = 7, kInner = 12, kPeriods = 6;
constexpr int kXBins = 19, kYBins = 37;

std::vector<float> random_values(int count, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

std::vector<float> bins(int count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i)
    values[static_cast<size_t>(i)] = -0.5f + static_cast<float>(i) / static_cast<float>(count - 1);
  return values;
}

DccArrays random_arrays() {
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

std::string bytes_of(const DccArrays& a) {
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
double located(const DccArrays& a, const std::vector<double>& token,
               const std::vector<float>& weight, const std::vector<float>& unit_bins, double low,
               double high, double prior) {
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
std::vector<double> reference(const DccArrays& a, const DccCell& cell) {
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
  EXPECT_EQ(read_dcc_file("no such file").status().code(), Code::kIo);
}

// A network of input 64 x 64 with strides 16 and 32.
class RtmoMaps : public ::testing::Test {
 protected:
  RtmoMaps() {
    path = ::testing::TempDir() + "rtmo_test_" +
           ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".dcc";
    std::ofstream(path, std::ios::binary) << bytes_of(random_arrays());
    head.strides = {16, 32};
    head.keypoints = {"a", "b", "c"};
    head.score_threshold = 0.3f;
    head.nms_iou_threshold = 0.65f;
    head.max_candidates = 100;
    head.max_detections = 10;
    head.box_padding = kPadding;
    head.x_bins = kXBins;
    head.y_bins = kYBins;
    spec = {
        Preprocess::Resize::kLetterboxCentred, 64, 64, false, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}, 1};
    const int channels[] = {1, 4, kPoints, kChannels};
    for (int kind = 0; kind < 4; ++kind) {
      for (int side : {4, 2}) {
        maps.push_back(random_values(2 * channels[kind] * side * side, 0.1f,
                                     static_cast<unsigned>(40 + kind)));
        if (kind == 0) maps.back().assign(maps.back().size(), -9.0f);
        dims.push_back({2, channels[kind], side, side});
      }
    }
  }
  ~RtmoMaps() override { std::remove(path.c_str()); }

  Status decode(int item = 0, WorkerPool* pool = nullptr) {
    Result<std::unique_ptr<RtmoDecoder>> decoder = RtmoDecoder::open(head, path, pool);
    if (!decoder.ok()) return decoder.status();
    std::vector<Tensor> tensors(maps.size());
    for (size_t i = 0; i < maps.size(); ++i) tensors[i].borrow(maps[i].data(), dims[i]);
    return decoder.value()->decode(tensors, item, spec, transform, 100, 100, &persons, &keypoints);
  }

  float& value(size_t map, size_t item, size_t channel, size_t cell) {
    const size_t cells = static_cast<size_t>(dims[map][2] * dims[map][3]);
    return maps[map][(item * static_cast<size_t>(dims[map][1]) + channel) * cells + cell];
  }

  std::string path;
  RtmoHead head;
  Preprocess spec;
  InputTransform transform;
  std::vector<std::vector<float>> maps;
  std::vector<std::vector<int64_t>> dims;
  std::vector<Detection> persons;
  std::vector<Keypoint> keypoints;
};

TEST_F(RtmoMaps, DecodesTheCellAroundItsPrior) {
  value(0, 1, 0, 6) = 2;  // item 1, cell (1, 2) of stride 16: prior (39.5, 23.5)
  const float raw[] = {0.25f, -0.5f, 0.5f, 0.75f};
  for (size_t i = 0; i < 4; ++i) value(2, 1, i, 6) = raw[i];
  value(4, 1, 2, 6) = 1.5f;
  transform = {1.5f, 1.25f, 2, 3};
  ASSERT_TRUE(decode(0).ok());
  EXPECT_TRUE(persons.empty());
  ASSERT_TRUE(decode(1).ok());
  ASSERT_EQ(persons.size(), 1u);
  EXPECT_FLOAT_EQ(persons[0].score, 1 / (1 + std::exp(-2.0f)));
  const float x = 39.5f + 4, y = 23.5f - 8, width = 16 * std::exp(0.5f),
              height = 16 * std::exp(0.75f);
  EXPECT_FLOAT_EQ(persons[0].box.x1, (x - width / 2) * 1.5f + 2);
  EXPECT_FLOAT_EQ(persons[0].box.y1, std::max(y - height / 2, 0.0f) * 1.25f + 3);
  EXPECT_FLOAT_EQ(persons[0].box.x2, (x + width / 2) * 1.5f + 2);
  // Keypoints come from the box before it is clipped.
  const DccCell cell = {&value(6, 1, 0, 6),
                        16,
                        {x - width / 2, y - height / 2, x + width / 2, y + height / 2},
                        39.5f,
                        23.5f};
  const std::vector<double> expected = reference(random_arrays(), cell);
  ASSERT_EQ(keypoints.size(), static_cast<size_t>(kPoints));
  for (size_t k = 0; k < kPoints; ++k) {
    EXPECT_NEAR(keypoints[k].x_px, expected[2 * k] * 1.5 + 2, 1e-3);
    EXPECT_NEAR(keypoints[k].y_px, expected[2 * k + 1] * 1.25 + 3, 1e-3);
  }
  EXPECT_FLOAT_EQ(keypoints[2].score, 1 / (1 + std::exp(-1.5f)));
}

TEST_F(RtmoMaps, SuppressesAcrossStrides) {
  value(0, 0, 0, 5) = 2;  // prior (23.5, 23.5), side 32
  for (size_t i : {size_t{2}, size_t{3}}) value(2, 0, i, 5) = std::log(2.0f);
  value(2, 0, 0, 5) = value(2, 0, 1, 5) = 0;
  value(1, 0, 0, 0) = 3;  // prior (15.5, 15.5) moved to (23.5, 23.5), side 32
  for (size_t i = 0; i < 4; ++i) value(3, 0, i, 0) = i < 2 ? 0.25f : 0.0f;
  ASSERT_TRUE(decode().ok());
  ASSERT_EQ(persons.size(), 1u);
  EXPECT_FLOAT_EQ(persons[0].score, 1 / (1 + std::exp(-3.0f)));
  head.nms_iou_threshold = 1;
  ASSERT_TRUE(decode().ok());
  EXPECT_EQ(persons.size(), 2u);
  head.max_candidates = 1;
  ASSERT_TRUE(decode().ok());
  EXPECT_EQ(persons.size(), 1u);
}

TEST_F(RtmoMaps, ThreadsGiveTheSamePersons) {
  head.nms_iou_threshold = 1;
  head.max_detections = 100;
  for (size_t cell = 0; cell < 16; ++cell)
    value(0, 0, 0, cell) = 1 + 0.1f * static_cast<float>(cell);
  ASSERT_TRUE(decode().ok());
  const std::vector<Keypoint> alone = keypoints;
  ASSERT_EQ(alone.size(), 16u * kPoints);
  WorkerPool pool(3);
  ASSERT_TRUE(decode(0, &pool).ok());
  ASSERT_EQ(keypoints.size(), alone.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_NEAR(keypoints[i].x_px, alone[i].x_px, 1e-4);
    EXPECT_NEAR(keypoints[i].y_px, alone[i].y_px, 1e-4);
  }
}

TEST_F(RtmoMaps, ValuesThatAreNotFiniteNeverBecomeCoordinates) {
  for (float bad : {kNan, std::numeric_limits<float>::infinity()}) {
    value(0, 0, 0, 5) = bad;
    ASSERT_TRUE(decode().ok());
    EXPECT_TRUE(persons.empty());
    value(0, 0, 0, 5) = 2;
    for (size_t i = 0; i < 4; ++i) {
      const float before = value(2, 0, i, 5);
      value(2, 0, i, 5) = bad;
      ASSERT_TRUE(decode().ok());
      EXPECT_TRUE(persons.empty());
      value(2, 0, i, 5) = before;
    }
    for (size_t map : {size_t{4}, size_t{6}}) {
      const float before = value(map, 0, 0, 5);
      value(map, 0, 0, 5) = bad;
      ASSERT_TRUE(decode().ok());
      ASSERT_EQ(persons.size(), 1u);
      for (const Keypoint& point : keypoints) {
        EXPECT_TRUE(std::isfinite(point.x_px) && std::isfinite(point.y_px) &&
                    std::isfinite(point.score));
      }
      EXPECT_EQ(keypoints[0].score, 0);
      value(map, 0, 0, 5) = before;
    }
  }
  value(2, 0, 2, 5) = 1e4f;  // a box of infinite width
  ASSERT_TRUE(decode().ok());
  EXPECT_TRUE(persons.empty());
}

TEST_F(RtmoMaps, RefusesWhatDoesNotFit) {
  EXPECT_EQ(decode(2).code(), Code::kInvalidArgument);
  spec.input_width_px = 96;
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  spec.input_width_px = 64;
  dims[6][1] = kChannels - 1;
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  dims[6][1] = kChannels;
  maps.pop_back();
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  head.x_bins = 20;
  EXPECT_EQ(decode().code(), Code::kInvalidBundle);
  path += ".missing";
  EXPECT_EQ(decode().code(), Code::kIo);
}

}  // namespace
}  // namespace edgepose
