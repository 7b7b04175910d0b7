#ifndef EDGEPOSE_SRC_POSE_MOTION_H_
#define EDGEPOSE_SRC_POSE_MOTION_H_

#include <string>
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

// How many of the points, the first ones, tell where a person is and how large: of a set that
// begins with COCO's body and goes on with face and hands those before them, else all. Most points
// of a whole body are in its face and hands, which move by themselves and are often not seen.
size_t body_points(const std::vector<std::string>& names);

// From the first `points` that both poses have with at least score_threshold; where these are less
// than a quarter of them, from all points by the same rule, else from the boxes.
PoseMotion motion_between(const Pose& before, const Pose& after, size_t points,
                          float score_threshold);

// The box of a person that was followed without a detector: the last box with the motion applied,
// drawn a little towards the box around the first `points` so that errors do not add up;
// around all where fewer than a quarter of these are seen.
BoxXyxy followed_box(const BoxXyxy& before, const PoseMotion& motion, const Pose& after,
                     size_t points, float score_threshold, const TrackingSettings& settings);

void shift(float x_px, float y_px, Pose* pose);

// Of the first `points`; 0 for none.
float mean_score(const std::vector<Keypoint>& keypoints, size_t points);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_POSE_MOTION_H_
