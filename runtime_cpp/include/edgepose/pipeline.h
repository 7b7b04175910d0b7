#ifndef EDGEPOSE_PIPELINE_H_
#define EDGEPOSE_PIPELINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "edgepose/bundle.h"
#include "edgepose/image.h"
#include "edgepose/span.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose {

struct PipelineOptions {
  int threads = 1;
  std::string device = "CPU";
  // Pictures are the frames of one video: persons keep their ids, and times must rise.
  bool track = false;
  // One Euro filtered keypoints; needs `track`.
  bool smooth = false;
  // The detector runs on every n-th frame, and where a person was lost or the scene changed; above
  // 1 it needs `track`, a detector and a pose network.
  int detect_every = 1;
  // Above 0 the detector has a thread of its own, beside `threads` for the poses: what it is given
  // at one frame counts this many frames later, at most detect_every; until then persons are
  // followed. A frame waits for it only where it is not done by then, so equal frames give equal
  // results. Needs what detect_every above 1 needs.
  int detect_delay = 0;
  // In place of the bundle's; needed by `track` where the bundle has none.
  std::optional<TrackingSettings> tracking;
};

// How far a pipeline is from the results that its bundle carries. Keypoints count where the
// expected score is in the upper half of all, or seen and in the upper half of its joint, detections
// where it is 0.1 or more above the pipeline's threshold.
struct GoldenReport {
  bool passed = false;
  float tolerance_px = 0;
  int detections_expected = 0;
  int detections_matched = 0;  // with an IoU of 0.8 or more
  int detections_unexpected = 0;
  double box_mean_px = 0;  // over the corners of matched detections
  double box_max_px = 0;
  int keypoints_compared = 0;
  // Of their places or, where the bundle has depths and they are farther off, of their depths, in
  // pixels of the network's input.
  double keypoint_mean_px = 0;
  double keypoint_max_px = 0;
};

// A bundle in use. One caller at a time: a second thread that enters gets kInvalidArgument, and so
// does a process that is forked after open(). After the first frame nothing is allocated as long as
// there are no more persons than before.
class Pipeline {
 public:
  // Errors: those of Bundle::open and make_engine.
  static Result<std::unique_ptr<Pipeline>> open(const std::string& bundle_dir,
                                                const PipelineOptions& options);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  const Bundle& bundle() const;

  // Finds the persons of a picture and their keypoints, best box first. A bundle with no detector
  // takes the whole picture as one person; one without a pose network gives boxes alone. time_ns is
  // when the picture was taken. With PipelineOptions::track, persons whose poses are alike are one.
  // Error: kInvalidArgument where a tracked frame is not later than the last one.
  Status process(const ImageView& image, int64_t time_ns, std::vector<Pose>* out,
                 StageTimings* timings = nullptr);

  // The same for persons whose boxes are known; in their order.
  // Errors: kInvalidArgument for a box without area, kUnsupported where the bundle has no pose
  // network.
  Status process_boxes(const ImageView& image, int64_t time_ns, Span<const BoxXyxy> boxes,
                       std::vector<Pose>* out, StageTimings* timings = nullptr);

  // All detections of all classes, by falling score. Error: kUnsupported where the bundle has no
  // detector.
  Status detect(const ImageView& image, std::vector<Detection>* out,
                StageTimings* timings = nullptr);

  // Runs the bundle's own picture and compares. A difference is not an error: see
  // GoldenReport::passed.
  Result<GoldenReport> verify_golden();

  // Forgets all earlier frames, for example between two videos. Nothing happens while another
  // thread uses the pipeline.
  Status reset();

 private:
  class Impl;
  explicit Pipeline(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_PIPELINE_H_
