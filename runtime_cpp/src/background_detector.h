#ifndef EDGEPOSE_SRC_BACKGROUND_DETECTOR_H_
#define EDGEPOSE_SRC_BACKGROUND_DETECTOR_H_

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "stages.h"

namespace edgepose {

// Runs a detector on a thread of its own: begun with one frame, asked for its result at a later
// one. The picture is read before begin() returns. Nothing is allocated but on begin()'s first
// calls.
class BackgroundDetector {
 public:
  // The stage is borrowed; nobody else may use it while is_running().
  explicit BackgroundDetector(DetectorStage* stage);
  ~BackgroundDetector();
  BackgroundDetector(const BackgroundDetector&) = delete;
  BackgroundDetector& operator=(const BackgroundDetector&) = delete;

  // Between begin() and finish().
  bool is_running() const { return is_running_; }
  // Not while it is running.
  Status begin(const ImageView& image, StageTimings* timings);
  // Waits for the result; the detector's time counts here.
  Status finish(std::vector<Detection>* detections, StageTimings* timings);

 private:
  void serve();

  DetectorStage* stage_;
  bool is_running_ = false;  // of the caller's side alone

  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  bool stopping_ = false;
  std::vector<Detection> found_;
  StageTimings timings_;
  Status status_;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_BACKGROUND_DETECTOR_H_
