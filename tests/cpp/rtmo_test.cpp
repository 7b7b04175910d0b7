#include "edgepose/rtmo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "dcc_arrays.h"
#include "worker_pool.h"

namespace edgepose {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A network of input 64 x 96 with strides 16 and 32.
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
        Preprocess::Resize::kLetterboxCentred, 96, 64, false, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}, 1};
    const int channels[] = {1, 4, kPoints, kChannels};
    for (int kind = 0; kind < 4; ++kind) {
      for (int width : {4, 2}) {
        const int height = width * 3 / 2;
        maps.push_back(random_values(2 * channels[kind] * height * width, 0.1f,
                                     static_cast<unsigned>(40 + kind)));
        if (kind == 0) maps.back().assign(maps.back().size(), -9.0f);
        dims.push_back({2, channels[kind], height, width});
      }
    }
  }
  ~RtmoMaps() override { std::remove(path.c_str()); }

  Status decode(int item = 0, WorkerPool* pool = nullptr) {
    Result<std::unique_ptr<RtmoDecoder>> decoder = RtmoDecoder::open(head, path, pool);
    return decoder.ok() ? decode_with(decoder.value().get(), item) : decoder.status();
  }

  Status decode_with(RtmoDecoder* decoder, int item) {
    std::vector<Tensor> tensors(maps.size());
    for (size_t i = 0; i < maps.size(); ++i) tensors[i].borrow(maps[i].data(), dims[i]);
    return decoder->decode(tensors, item, spec, transform, 100, 140, &persons, &keypoints);
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
                        24,
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

TEST_F(RtmoMaps, NothingOfAnEarlierPictureRemains) {
  value(0, 1, 0, 6) = 2;
  const auto decoder = RtmoDecoder::open(head, path, nullptr).value();
  for (const int item : {1, 0, 1}) {
    ASSERT_TRUE(decode_with(decoder.get(), item).ok());
    EXPECT_EQ(persons.size(), static_cast<size_t>(item));
    EXPECT_EQ(keypoints.size(), static_cast<size_t>(item) * kPoints);
  }
}

// Square boxes of one stride around their priors.
TEST_F(RtmoMaps, EqualScoresKeepTheOrderOfTheirCells) {
  for (size_t map : {size_t{2}, size_t{3}}) maps[map].assign(maps[map].size(), 0);
  head.nms_iou_threshold = 1;
  value(1, 0, 0, 0) = value(0, 0, 0, 9) = value(0, 0, 0, 2) = 1;
  ASSERT_TRUE(decode().ok());
  ASSERT_EQ(persons.size(), 3u);
  EXPECT_EQ(persons[0].box.y2, 15.5f);
  EXPECT_EQ(persons[1].box.y2, 32 + 15.5f);
  EXPECT_EQ(persons[2].box.y2, 31.5f);
}

TEST_F(RtmoMaps, APersonInThePaddingTakesNobodysPoints) {
  for (size_t map : {size_t{2}, size_t{3}}) maps[map].assign(maps[map].size(), 0);
  value(0, 0, 0, 20) = 3;  // prior (7.5, 87.5)
  value(0, 0, 0, 3) = 2;   // prior (55.5, 7.5)
  for (size_t k = 0; k < kPoints; ++k) value(4, 0, k, 3) = 1.5f;
  transform = {2, 2, 0, 0};
  ASSERT_TRUE(decode().ok());
  ASSERT_EQ(persons.size(), 1u);
  EXPECT_EQ(persons[0].box.x1, 2 * (55.5f - 8));
  EXPECT_EQ(persons[0].box.x2, 100);
  ASSERT_EQ(keypoints.size(), static_cast<size_t>(kPoints));
  for (const Keypoint& point : keypoints) EXPECT_FLOAT_EQ(point.score, 1 / (1 + std::exp(-1.5f)));
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
  spec.input_height_px = 64;
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  spec.input_height_px = 96;
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
