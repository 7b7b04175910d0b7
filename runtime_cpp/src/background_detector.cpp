#include "background_detector.h"

#include <utility>

#include "engines/engines.h"

namespace edgepose {

BackgroundDetector::BackgroundDetector(DetectorStage* stage)
    : stage_(stage), thread_([this] { serve(); }) {}

BackgroundDetector::~BackgroundDetector() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status BackgroundDetector::begin(const ImageView& image, StageTimings* timings) {
  EDGEPOSE_RETURN_IF_ERROR(stage_->read(image, timings));
  is_running_ = true;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    asked_ = true;
  }
  changed_.notify_all();
  return {};
}

Status BackgroundDetector::finish(std::vector<Detection>* detections, StageTimings* timings) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !asked_; });
  is_running_ = false;
  std::swap(*detections, found_);
  timings->detector_ns += timings_.detector_ns;
  timings->detector_decode_ns += timings_.detector_decode_ns;
  return std::move(status_);
}

void BackgroundDetector::serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return asked_ || stopping_; });
    if (stopping_) return;
    // The caller waits for asked_ before it touches the stage or the results.
    lock.unlock();
    timings_ = {};
    status_ = guarded("the detector", [this] { return stage_->find(&found_, &timings_); });
    lock.lock();
    asked_ = false;
    changed_.notify_all();
  }
}

}  // namespace edgepose
