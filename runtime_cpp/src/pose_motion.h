#ifndef EDGEPOSE_SRC_POSE_MOTION_H_
#define EDGEPOSE_SRC_POSE_MOTION_H_

#include <vector>

#include "edgepose/spec.h"
#include "edgepose/types.h"

namespace edgepose {

// How a person moved between two frames: the mean point from (from_x, from_y) by (x_px, y_px), and
// the spread of the points by the factor `growth`.
struct PoseMotion {
  float from_x, from_y;
  float x_px, y_px;
  float growth;
};

// From the points that both poses have with at least score_threshold; from the boxes where these
// are less than a quarter of all.
PoseMotion motion_between(const Pose& before, const Pose& after, float score_threshold);

// The box of a person that was followed without a detector: the last box with the motion applied,
// drawn a little towards the box around the points so that errors do not add up.
BoxXyxy followed_box(const BoxXyxy& before, const PoseMotion& motion, const Pose& after,
                     float score_threshold, const TrackingSettings& settings);

void shift(float x_px, float y_px, Pose* pose);

// 0 for no points.
float mean_score(const std::vector<Keypoint>& keypoints);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_POSE_MOTION_H_
