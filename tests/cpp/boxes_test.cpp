#include "edgepose/boxes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace edgepose {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Boxes, IouHasNoExtraPixel) {
  EXPECT_EQ(iou({0, 0, 2, 2}, {0, 0, 2, 2}), 1);
  EXPECT_FLOAT_EQ(iou({0, 0, 2, 2}, {1, 0, 3, 2}), 1.0f / 3);
  EXPECT_EQ(iou({0, 0, 2, 2}, {2, 0, 4, 2}), 0);
  EXPECT_EQ(iou({0, 0, 0, 0}, {0, 0, 0, 0}), 0);
}

std::vector<int> kept(const std::vector<Detection>& detections, float threshold, int limit = 100) {
  std::vector<int> indices;
  nms_indices(detections, threshold, limit, &indices);
  return indices;
}

TEST(Nms, KeepsTheBestOfEachLabel) {
  const std::vector<Detection> boxes = {{{0, 0, 10, 10}, 0.5f, 0},
                                        {{0, 1, 10, 10}, 0.9f, 0},
                                        {{0, 0, 10, 10}, 0.8f, 1},
                                        {{50, 50, 60, 60}, 0.7f, 0}};
  EXPECT_EQ(kept(boxes, 0.5f), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(kept(boxes, 0.95f), (std::vector<int>{1, 2, 3, 0}));
  EXPECT_EQ(kept(boxes, 0.5f, 2), (std::vector<int>{1, 2}));
  EXPECT_TRUE(kept(boxes, 0.5f, 0).empty());
  EXPECT_TRUE(kept({}, 0.5f).empty());
}

TEST(Nms, SuppressesAboveTheThresholdOnly) {
  const std::vector<Detection> boxes = {{{0, 0, 4, 4}, 0.9f, 0},
                                        {{0, 0, 4, 2}, 0.8f, 0}};  // IoU exactly 0.5
  EXPECT_EQ(kept(boxes, 0.5f).size(), 2u);
  EXPECT_EQ(kept(boxes, 0.49f).size(), 1u);
}

TEST(Nms, EqualScoresKeepTheirOrder) {
  std::vector<Detection> boxes;
  for (int i = 0; i < 50; ++i)
    boxes.push_back(
        {{20.0f * static_cast<float>(i), 0, 20.0f * static_cast<float>(i) + 9, 9}, 0.5f, 0});
  const std::vector<int> indices = kept(boxes, 0.5f);
  ASSERT_EQ(indices.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(indices[static_cast<size_t>(i)], i);
}

TEST(Nms, DropsWhatIsNotFinite) {
  const std::vector<Detection> boxes = {
      {{0, 0, 10, 10}, kNan, 0}, {{kInf, 0, 10, 10}, 0.9f, 0}, {{0, 0, 1, 1}, 0.1f, 0}};
  EXPECT_EQ(kept(boxes, 0.5f), (std::vector<int>{2}));
}

// One network of input 64 x 96 with strides 16 and 32 and two classes.
class BoxMaps : public ::testing::Test {
 protected:
  BoxMaps() {
    head = {{16, 32}, false, {"person", "dog"}, 0.3f, 0.6f, 100, 10};
    spec = {Preprocess::Resize::kLetterbox, 96, 64, false, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}, 1};
    for (int channels : {2, 4}) {
      for (int width : {4, 2}) {
        const int height = width * 3 / 2;
        maps.emplace_back(static_cast<size_t>(2 * channels * height * width),
                          channels == 2 ? -9.0f : 0.5f);
        dims.push_back({2, channels, height, width});
      }
    }
  }

  Status decode(int batch_index = 0) {
    std::vector<Tensor> tensors(maps.size());
    for (size_t i = 0; i < maps.size(); ++i) tensors[i].borrow(maps[i].data(), dims[i]);
    return decode_boxes(tensors, batch_index, head, spec, transform, 100, 80, &scratch,
                        &detections);
  }

  float& value(size_t map, size_t item, size_t channel, size_t cell) {
    const size_t cells = static_cast<size_t>(dims[map][2] * dims[map][3]);
    return maps[map][(item * static_cast<size_t>(dims[map][1]) + channel) * cells + cell];
  }

  BoxHead head;
  Preprocess spec;
  InputTransform transform;
  std::vector<std::vector<float>> maps;
  std::vector<std::vector<int64_t>> dims;
  BoxScratch scratch;
  std::vector<Detection> detections;
};

TEST_F(BoxMaps, PutsABoxAroundItsPrior) {
  value(0, 1, 1, 6) = 2;  // item 1, "dog", cell (1, 2) of stride 16: prior (32, 16)
  for (size_t side = 0; side < 4; ++side)
    value(2, 1, side, 6) = 0.25f * static_cast<float>(side + 1);
  transform = {2, 0.5f, 3, 1};
  ASSERT_TRUE(decode(0).ok());
  EXPECT_TRUE(detections.empty());
  ASSERT_TRUE(decode(1).ok());
  ASSERT_EQ(detections.size(), 1u);
  EXPECT_EQ(detections[0].label, 1);
  EXPECT_FLOAT_EQ(detections[0].score, 1 / (1 + std::exp(-2.0f)));
  EXPECT_EQ(detections[0].box.x1, (32 - 4) * 2 + 3);
  EXPECT_EQ(detections[0].box.y1, (16 - 8) * 0.5f + 1);
  EXPECT_EQ(detections[0].box.x2, (32 + 12) * 2 + 3);
  EXPECT_EQ(detections[0].box.y2, (16 + 16) * 0.5f + 1);
}

TEST_F(BoxMaps, ExponentialDistances) {
  head.exp_on_distances = true;
  value(1, 0, 0, 3) = 2;  // stride 32, prior (32, 32)
  for (size_t side = 0; side < 4; ++side) value(3, 0, side, 3) = -1;
  ASSERT_TRUE(decode().ok());
  ASSERT_EQ(detections.size(), 1u);
  EXPECT_FLOAT_EQ(detections[0].box.x1, 32 - 32 * std::exp(-1.0f));
  EXPECT_FLOAT_EQ(detections[0].box.y2, 32 + 32 * std::exp(-1.0f));
}

TEST_F(BoxMaps, ScoresMustExceedTheThreshold) {
  const float logit = std::log(0.3f / 0.7f);
  value(0, 0, 0, 5) = logit - 1e-4f;
  ASSERT_TRUE(decode().ok());
  EXPECT_TRUE(detections.empty());
  value(0, 0, 0, 5) = logit + 1e-4f;
  ASSERT_TRUE(decode().ok());
  EXPECT_EQ(detections.size(), 1u);
}

TEST_F(BoxMaps, ClipsToTheInputAndThePicture) {
  value(0, 0, 0, 5) = 2;
  for (size_t side = 0; side < 4; ++side) value(2, 0, side, 5) = 1000;
  transform = {1.5f, 1.5f, 0, 0};
  ASSERT_TRUE(decode().ok());
  ASSERT_EQ(detections.size(), 1u);
  EXPECT_EQ(detections[0].box.x1, 0);
  EXPECT_EQ(detections[0].box.x2, 96);
  EXPECT_EQ(detections[0].box.y2, 80);
  transform = {0.5f, 0.5f, 0, 0};
  ASSERT_TRUE(decode().ok());
  EXPECT_EQ(detections[0].box.x2, 32);
  EXPECT_EQ(detections[0].box.y2, 48);
}

TEST_F(BoxMaps, DropsEmptyBoxesAndThoseInThePadding) {
  value(0, 0, 0, 5) = 2;
  value(2, 0, 0, 5) = -1;  // left of the prior by less than nothing: x1 = x2 + ...
  value(2, 0, 2, 5) = -1;
  value(0, 0, 0, 15) = 2;  // prior (48, 48), below a picture of 80 px at scale 2
  for (size_t side = 0; side < 4; ++side) value(2, 0, side, 15) = 0.25f;
  transform = {2, 2, 0, 0};
  ASSERT_TRUE(decode().ok());
  EXPECT_TRUE(detections.empty());
}

TEST_F(BoxMaps, KeepsTheBestPerLevelAndOverall) {
  for (size_t cell = 0; cell < 16; ++cell) {
    value(0, 0, 0, cell) = static_cast<float>(cell) * 0.1f;
    for (size_t side = 0; side < 4; ++side) value(2, 0, side, cell) = 0.25f;
  }
  ASSERT_TRUE(decode().ok());
  EXPECT_EQ(detections.size(), 10u);
  head.max_candidates_per_level = 3;
  ASSERT_TRUE(decode().ok());
  ASSERT_EQ(detections.size(), 3u);
  EXPECT_EQ(detections[0].box.x1, 48 - 4);
  EXPECT_EQ(detections[2].box.x1, 16 - 4);
}

TEST_F(BoxMaps, EqualScoresKeepTheOrderOfTheirCells) {
  head.nms_iou_threshold = 1;
  for (size_t cell : {size_t{9}, size_t{2}, size_t{5}}) value(0, 0, 0, cell) = 1;
  value(0, 0, 1, 2) = 1;
  const auto shown = [&] {
    EXPECT_TRUE(decode().ok());
    std::vector<std::pair<float, int>> all;
    for (const Detection& d : detections) all.emplace_back(d.box.y2 - 8, d.label);
    return all;
  };
  const std::vector<std::pair<float, int>> all = {{0, 0}, {0, 1}, {16, 0}, {32, 0}};
  EXPECT_EQ(shown(), all);
  head.max_candidates_per_level = 2;
  EXPECT_EQ(shown(), (std::vector<std::pair<float, int>>{all[0], all[1]}));
}

TEST_F(BoxMaps, AnEmptyBoxTakesNobodysPlace) {
  head.max_detections = 1;
  for (const size_t side : {size_t{0}, size_t{1}}) {
    value(0, 0, 0, 5) = 3;
    value(2, 0, side, 5) = value(2, 0, side + 2, 5) = -1;
    value(0, 0, 0, 10) = 2;
    ASSERT_TRUE(decode().ok());
    ASSERT_EQ(detections.size(), 1u);
    EXPECT_EQ(detections[0].box.x1, 32 - 8);
    value(2, 0, side, 5) = value(2, 0, side + 2, 5) = 0.5f;
  }
}

TEST_F(BoxMaps, ValuesThatAreNotFiniteAreSkipped) {
  for (float bad : {kNan, kInf, -kInf}) {
    value(0, 0, 0, 5) = bad;
    ASSERT_TRUE(decode().ok());
    EXPECT_TRUE(detections.empty());
    value(0, 0, 0, 5) = 2;
    for (size_t side = 0; side < 4; ++side) {
      value(2, 0, side, 5) = bad;
      ASSERT_TRUE(decode().ok());
      EXPECT_TRUE(detections.empty());
      value(2, 0, side, 5) = 0.5f;
    }
    ASSERT_TRUE(decode().ok());
    EXPECT_EQ(detections.size(), 1u);
  }
}

TEST_F(BoxMaps, RefusesMapsThatDoNotFit) {
  EXPECT_EQ(decode(2).code(), Code::kInvalidArgument);
  EXPECT_EQ(decode(-1).code(), Code::kInvalidArgument);
  spec.input_width_px = 96;
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  spec.input_width_px = 64;
  spec.input_height_px = 64;
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  spec.input_height_px = 96;
  head.classes.push_back("cat");
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
  head.classes.pop_back();
  head.strides.push_back(64);
  EXPECT_EQ(decode().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace edgepose
