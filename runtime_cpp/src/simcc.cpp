#include "edgepose/simcc.h"

#include <algorithm>
#include <cmath>

#include "row_maximum.h"

namespace edgepose {
namespace {

// Bin -1 is where the original decoder puts a missing point.
constexpr int kMissingBin = -1;

}  // namespace

void decode_simcc(const float* simcc_x, int x_bins, const float* simcc_y, int y_bins,
                  const float* simcc_z, int z_bins, int keypoint_count, const SimccHead& head,
                  const InputTransform& transform, Keypoint* keypoints, float* z) {
  const float half_depth = static_cast<float>(z_bins) / head.split_ratio / 2;
  for (int k = 0; k < keypoint_count; ++k) {
    RowMaximum x = row_maximum(simcc_x + static_cast<ptrdiff_t>(k) * x_bins, x_bins);
    RowMaximum y = row_maximum(simcc_y + static_cast<ptrdiff_t>(k) * y_bins, y_bins);
    RowMaximum depth;
    if (simcc_z != nullptr)
      depth = row_maximum(simcc_z + static_cast<ptrdiff_t>(k) * z_bins, z_bins);
    float score = std::min(x.value, y.value);
    if (!x.finite || !y.finite || !depth.finite || !(score > 0)) {
      score = 0;
      x.index = y.index = depth.index = kMissingBin;
    }
    keypoints[k] = {
        static_cast<float>(x.index) / head.split_ratio * transform.scale_x + transform.offset_x,
        static_cast<float>(y.index) / head.split_ratio * transform.scale_y + transform.offset_y,
        score};
    if (z != nullptr && simcc_z != nullptr) {
      z[k] = (static_cast<float>(depth.index) / head.split_ratio / half_depth - 1) * head.z_range;
    }
  }
}

}  // namespace edgepose
