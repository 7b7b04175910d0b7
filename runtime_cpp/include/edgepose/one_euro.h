#ifndef EDGEPOSE_ONE_EURO_H_
#define EDGEPOSE_ONE_EURO_H_

#include <cstdint>
#include <vector>

#include "edgepose/span.h"
#include "edgepose/spec.h"
#include "edgepose/types.h"

namespace edgepose {

// The One Euro filter of Casiez, Roussel and Vogel (CHI 2012) for one coordinate: a low-pass filter
// whose cutoff frequency rises with the speed. Its gains are 1 - exp(-2 pi f dt), so that a
// constant cutoff gives the same values at the same times whatever the frame rate.
class OneEuroFilter {
 public:
  // The next value, at dt_s > 0 after the last one; the first one passes through. size: what a
  // speed of 1 stands for, in the value's unit a second.
  float next(float value, float dt_s, float size, const SmoothingSettings& settings);
  bool empty() const { return empty_; }
  float value() const { return value_; }
  void reset() { empty_ = true; }

 private:
  bool empty_ = true;
  float raw_ = 0;
  float value_ = 0;
  float speed_ = 0;
};

// One filter for each keypoint and axis of one person.
class PoseFilter {
 public:
  // Replaces the places by smoothed ones. size_px: the person's, the root of the box area. A point
  // whose score is below the threshold keeps the place, depth and score of its last sighting for
  // hold_s; from then on it is given as the network found it, and its filters begin anew. z: the
  // depths, which are not smoothed; may be empty.
  void apply(int64_t time_ns, float size_px, float score_threshold,
             const SmoothingSettings& settings, Span<Keypoint> keypoints, Span<float> z = {});
  // Forgets every earlier frame; the memory stays.
  void reset() { points_.clear(); }

 private:
  struct Point {
    OneEuroFilter x, y;
    float score = 0;
    float z = 0;
    int64_t seen_ns = 0;
  };
  std::vector<Point> points_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_ONE_EURO_H_
