#ifndef EDGEPOSE_TYPES_H_
#define EDGEPOSE_TYPES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace edgepose {

// Corners in pixels of the source picture (or of the network input where a name says so); x2, y2
// are exclusive edges.
struct BoxXyxy {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

struct Detection {
  BoxXyxy box;
  float score = 0;
  int label = 0;
};

// A point in pixels of the source picture. A missing point has score 0.
struct Keypoint {
  float x_px = 0, y_px = 0, score = 0;
};

struct Pose {
  BoxXyxy box;
  float box_score = 0;
  int64_t track_id = -1;  // -1: not tracked
  std::vector<Keypoint> keypoints;
  // Depth of each keypoint in metres, relative to the middle of the hips (points 11 and 12): larger
  // is farther. Empty for 2-D networks.
  std::vector<float> z;
};

// Nanoseconds spent in each stage of one frame.
struct StageTimings {
  int64_t detector_preprocess_ns = 0;
  int64_t detector_ns = 0;
  int64_t detector_decode_ns = 0;
  int64_t pose_preprocess_ns = 0;
  int64_t pose_ns = 0;
  int64_t pose_decode_ns = 0;
  int64_t total_ns = 0;
};

// A stage's name in documents, and its time.
struct StageTiming {
  const char* name;
  int64_t StageTimings::*value;
};

// In the order of the work, the total last.
inline constexpr StageTiming kStageTimings[] = {
    {"detector_preprocess_ns", &StageTimings::detector_preprocess_ns},
    {"detector_ns", &StageTimings::detector_ns},
    {"detector_decode_ns", &StageTimings::detector_decode_ns},
    {"pose_preprocess_ns", &StageTimings::pose_preprocess_ns},
    {"pose_ns", &StageTimings::pose_ns},
    {"pose_decode_ns", &StageTimings::pose_decode_ns},
    {"total_ns", &StageTimings::total_ns},
};

}  // namespace edgepose

#endif  // EDGEPOSE_TYPES_H_
