#ifndef EDGEPOSE_TESTS_CPP_TEST_BUNDLES_H_
#define EDGEPOSE_TESTS_CPP_TEST_BUNDLES_H_

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "edgepose/pipeline.h"

namespace edgepose {

// A committed bundle of the fake engine; tests/bundles/make_bundles.py wrote it.
inline std::string test_bundle(const std::string& name) {
  return std::string(EDGEPOSE_SOURCE_DIR) + "/tests/bundles/v1/" + name;
}

inline std::unique_ptr<Pipeline> open_pipeline(const std::string& folder, int threads) {
  PipelineOptions options;
  options.threads = threads;
  auto pipeline = Pipeline::open(folder, options);
  EXPECT_TRUE(pipeline.ok()) << pipeline.status().message();
  return pipeline.ok() ? std::move(pipeline).value() : nullptr;
}

// Settings for tests; those of real bundles come from edgepose/bundle/tracking.py.
inline TrackingSettings test_tracking() {
  TrackingSettings t{};
  t.match_similarity = 0.2F;
  t.keypoint_weight = 0.5F;
  t.nms_oks = 0.85F;
  t.birth_box_score = 0.4F;
  t.loss_keypoint_score = 0.3F;
  t.max_lost_s = 1;
  t.max_prediction_s = 0.7F;
  t.velocity_time_s = 0.2F;
  t.uncertainty_time_s = 0.4F;
  t.pose_box_padding = 1.2F;
  t.pose_box_pull = 0.1F;
  t.scene_change_levels = 30;
  t.smoothing = {0.6F, 6, 1, 0.1F};
  return t;
}

inline std::unique_ptr<Pipeline> open_tracking(const std::string& folder, int threads, bool smooth,
                                               int detect_every = 1, int detect_delay = 0) {
  PipelineOptions options;
  options.threads = threads;
  options.track = true;
  options.smooth = smooth;
  options.detect_every = detect_every;
  options.detect_delay = detect_delay;
  options.tracking = test_tracking();
  auto pipeline = Pipeline::open(folder, options);
  EXPECT_TRUE(pipeline.ok()) << pipeline.status().message();
  return pipeline.ok() ? std::move(pipeline).value() : nullptr;
}

// Noise that owns its pixels.
class TestPicture {
 public:
  TestPicture(int width_px, int height_px, unsigned seed)
      : pixels_(static_cast<size_t>(width_px) * static_cast<size_t>(height_px) * 3) {
    std::minstd_rand random(seed);
    for (uint8_t& pixel : pixels_) pixel = static_cast<uint8_t>(random() >> 8);
    view_.data = pixels_.data();
    view_.width_px = width_px;
    view_.height_px = height_px;
    view_.row_stride_bytes = static_cast<ptrdiff_t>(width_px) * 3;
  }
  const ImageView& view() const { return view_; }

 private:
  std::vector<uint8_t> pixels_;
  ImageView view_;
};

// The same BGR picture as it is stored where a clockwise quarter turn makes it upright.
class TurnedPicture {
 public:
  explicit TurnedPicture(const ImageView& upright) : view_(upright) {
    const int width = upright.height_px, height = upright.width_px;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const uint8_t* from = upright.data + x * upright.row_stride_bytes + 3 * (height - 1 - y);
        pixels_.insert(pixels_.end(), from, from + 3);
      }
    }
    view_.data = pixels_.data();
    view_.width_px = width;
    view_.height_px = height;
    view_.row_stride_bytes = static_cast<ptrdiff_t>(width) * 3;
    view_.rotation_deg = 90;
  }
  const ImageView& view() const { return view_; }

 private:
  std::vector<uint8_t> pixels_;
  ImageView view_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_TESTS_CPP_TEST_BUNDLES_H_
