#ifndef EDGEPOSE_SIMCC_H_
#define EDGEPOSE_SIMCC_H_

#include "edgepose/preprocess.h"
#include "edgepose/spec.h"
#include "edgepose/types.h"

namespace edgepose {

// Decodes one person. simcc_x is [K, x_bins], simcc_y [K, y_bins], simcc_z [K, z_bins] or null. A
// keypoint is the first maximum of each row divided by split_ratio, mapped to source pixels; its
// score is the smaller of the x and y maxima (scores may exceed 1). Where that is not positive, or
// any value is not finite, the point is missing: score 0, at the place of bin -1 as the original
// decoder has it (never NaN). keypoints has room for K, z (may be null) for K.
void decode_simcc(const float* simcc_x, int x_bins, const float* simcc_y, int y_bins,
                  const float* simcc_z, int z_bins, int keypoint_count, const SimccHead& head,
                  const InputTransform& transform, Keypoint* keypoints, float* z);

}  // namespace edgepose

#endif  // EDGEPOSE_SIMCC_H_
