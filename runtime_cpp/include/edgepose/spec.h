#ifndef EDGEPOSE_SPEC_H_
#define EDGEPOSE_SPEC_H_

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace edgepose {

// Every constant of pre- and post-processing, as bundle.json states it. There are no defaults: the
// members are filled by the bundle reader, which refuses a manifest that lacks one.

struct Preprocess {
  // kLetterbox: scaled to fit, picture at the top left (RTMDet). kLetterboxCentred: scaled to fit,
  // centred (RTMO). kAffine: the padded box, widened to the input's aspect ratio (top-down pose).
  enum class Resize { kLetterbox, kLetterboxCentred, kAffine };
  Resize resize;
  int input_height_px;
  int input_width_px;
  bool rgb;                   // channel order that the network expects
  std::array<float, 3> mean;  // in that order, grey levels 0..255
  std::array<float, 3> std_dev;
  std::array<int, 3> pad_value;  // border colour, in that order
  float box_padding;             // kAffine: factor on the box sides; 1 otherwise
};

// The points of a person; none where persons are boxes alone.
struct KeypointSet {
  std::vector<std::string> keypoints;
  std::vector<std::pair<int, int>> skeleton;
  std::vector<std::pair<int, int>> flip_pairs;
  std::vector<float> sigmas;  // OKS
  bool has_z = false;
};

// SimCC: one-dimensional classification per axis. Outputs in order: x, y and, for 3-D networks, z.
struct SimccHead : KeypointSet {
  float split_ratio;
  float z_range;  // half the depth range in metres; 0 without z
};

// RTMDet. Outputs in order: class logits of every stride, then box distances of every stride (raw
// convolution outputs: left, top, right, bottom).
struct BoxHead {
  std::vector<int> strides;
  bool exp_on_distances;  // distances are exp(raw) * stride, otherwise raw * stride
  std::vector<std::string> classes;
  float score_threshold;
  float nms_iou_threshold;
  int max_candidates_per_level;
  int max_detections;
};

// RTMO. Outputs in order: class logits, boxes, visibilities, pose vectors, each of every stride.
// The weights of the dynamic coordinate classifier are the model file "dcc".
struct RtmoHead : KeypointSet {
  std::vector<int> strides;
  float score_threshold;
  float nms_iou_threshold;
  int max_candidates;
  int max_detections;
  float box_padding;  // factor on the box sides over which the bins lie
  int x_bins;
  int y_bins;
};

// One Euro filter. Speeds are in sizes of the person a second, so that near and far people are
// treated alike.
struct SmoothingSettings {
  float min_cutoff_hz;         // of a point at rest
  float cutoff_per_speed;      // Hz more for each size a second
  float derivative_cutoff_hz;  // of the speed estimate
  float hold_s;                // how long a point that is no longer seen keeps its last place
};

// How persons are followed from frame to frame; see docs/architecture.md.
struct TrackingSettings {
  float match_similarity;     // the least likeness of a person and a track
  float keypoint_weight;      // share of OKS in that likeness; the rest is the boxes' IoU
  float nms_oks;              // poses more alike than this are one person
  float birth_box_score;      // the least box score that starts a track
  float loss_keypoint_score;  // a followed pose with a lower mean keypoint score is lost
  float max_lost_s;           // how long a lost track may come back under its id
  float max_prediction_s;     // how far ahead a constant velocity is believed
  float velocity_time_s;      // time constant of the velocity estimate
  float uncertainty_time_s;   // after this time unseen, likeness is measured twice as wide
  float pose_box_padding;     // factor on the sides of a box around keypoints
  float pose_box_pull;        // share of that box in a followed one, a frame
  float scene_change_levels;  // mean grey level difference that is a cut
  SmoothingSettings smoothing;
};

}  // namespace edgepose

#endif  // EDGEPOSE_SPEC_H_
