#ifndef EDGEPOSE_TRACKER_H_
#define EDGEPOSE_TRACKER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "edgepose/span.h"
#include "edgepose/spec.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose {

constexpr size_t kAllPoints = static_cast<size_t>(-1);

// Object keypoint similarity of two poses, 0 to 1, over those of the first `points` that both have
// with at least score_threshold, or over all where these are less than a quarter of them. widen:
// factor on the distances that count as equal. -1 where they share less than a quarter of all
// points, too. Area is the mean of both boxes.
float oks(const Pose& a, const Pose& b, Span<const float> sigmas, float score_threshold,
          float widen = 1, size_t points = kAllPoints);

// Follows persons from frame to frame and gives them ids, which count from 1 and are never given
// twice. After the first frames nothing is allocated as long as there are no more persons than
// before.
class Tracker {
 public:
  // How the boxes of a frame came about. kDetected: by a detector. kFollowed: by predict(). kGiven:
  // by the caller, who gets every one of them back.
  enum class Source { kDetected, kFollowed, kGiven };

  // What predict() expects of a track.
  struct Prediction {
    BoxXyxy box;
    float box_score;
  };

  // sigmas: empty for persons that are boxes alone. Points below keypoint_score_threshold do not
  // count. smooth: replace keypoints by One Euro filtered ones. points: persons are followed by the
  // first so many, and by all where too few of these are seen.
  Tracker(const TrackingSettings& settings, std::vector<float> sigmas,
          float keypoint_score_threshold, bool smooth, size_t points = kAllPoints);
  ~Tracker();
  Tracker(const Tracker&) = delete;
  Tracker& operator=(const Tracker&) = delete;

  // Begins a frame. Tracks that were not seen for too long end. Error: kInvalidArgument where
  // time_ns is not after the last updated frame; the tracks are unchanged then.
  Status begin(int64_t time_ns, int width_px, int height_px);
  // Whether the last updated frame is so long ago that its persons have been forgotten.
  bool after_pause() const;
  // Whether a person was lost in the last frame whom only a detection can find again, or one was
  // found who has no track yet.
  bool wants_detection() const;
  // The persons that are expected in this frame, best box first. One that has left the picture is
  // lost.
  const std::vector<Prediction>& predict();
  // Ends the frame with its poses, keypoints filled in: gives ids, and moves the persons that
  // remain to the front, in their order. Of poses that are alike the best remains, of followed ones
  // those that were found again. Returns how many remain. Persons that are too uncertain for a
  // track remain without an id.
  size_t update(Source source, Span<Pose> poses);

  // For a detector that works behind the frames. remember(): it was given the frame that has just
  // ended. advance(): moves what it found by as much as the persons in these boxes have moved
  // since; the boxes of new persons stay.
  void remember();
  void advance(Span<Detection> detections);

  // Ends every track, at a cut or a pause; ids and time go on.
  void end_tracks();
  // Forgets all earlier frames.
  void reset();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_TRACKER_H_
