#include "scene_change.h"

#include <cstdlib>

namespace edgepose {
namespace {

// Samples a cell and axis: enough to average the noise of a camera away.
constexpr int kSamples = 4;

}  // namespace

bool SceneChange::is_cut(const ImageView& image, float threshold_levels) {
  const int channels = channels_of(image.format);
  // Green is the second byte of every order, and most of the brightness.
  const uint8_t* green = image.data + (channels > 1 ? 1 : 0);
  const bool same_view = image.width_px == width_px_ && image.height_px == height_px_ &&
                         image.rotation_deg == rotation_deg_ && image.mirrored == mirrored_;
  const bool first = width_px_ == 0;
  std::array<ptrdiff_t, static_cast<size_t>(kColumns) * kSamples> offsets;
  for (size_t i = 0; i < offsets.size(); ++i) {
    const int64_t x = static_cast<int64_t>(2 * i + 1) * image.width_px;
    offsets[i] = static_cast<ptrdiff_t>(x / static_cast<int64_t>(2 * offsets.size())) * channels;
  }
  int64_t difference = 0;
  for (int row = 0; row < kRows; ++row) {
    std::array<int, kColumns> sums{};
    for (int sample = 0; sample < kSamples; ++sample) {
      const int64_t y = (2 * (row * int64_t{kSamples} + sample) + 1) * image.height_px;
      const uint8_t* line =
          green + static_cast<ptrdiff_t>(y / (2 * kRows * kSamples)) * image.row_stride_bytes;
      for (size_t i = 0; i < offsets.size(); ++i) sums[i / kSamples] += line[offsets[i]];
    }
    for (size_t column = 0; column < sums.size(); ++column) {
      uint16_t& before = grid_[static_cast<size_t>(row) * kColumns + column];
      difference += std::abs(sums[column] - before);
      before = static_cast<uint16_t>(sums[column]);
    }
  }
  width_px_ = image.width_px;
  height_px_ = image.height_px;
  rotation_deg_ = image.rotation_deg;
  mirrored_ = image.mirrored;
  if (first) return false;
  const float levels =
      static_cast<float>(difference) / (static_cast<float>(grid_.size()) * kSamples * kSamples);
  return !same_view || levels > threshold_levels;
}

}  // namespace edgepose
