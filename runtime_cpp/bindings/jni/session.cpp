#include "session.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace edgepose::jni {
namespace {

Status busy() {
  return Status(Code::kInvalidArgument, "the session is in use by another thread",
                "call it from one thread, or open one session a thread");
}

// Writes words of either type one after the other; the buffer's memory has no type in C++.
class WordWriter {
 public:
  explicit WordWriter(void* words) : at_(static_cast<unsigned char*>(words)) {}

  void put(float value) { put_bytes(&value); }
  void put(int32_t value) { put_bytes(&value); }

 private:
  void put_bytes(const void* value) {
    std::memcpy(at_, value, 4);
    at_ += 4;
  }

  unsigned char* at_;
};

float milliseconds(int64_t ns) { return static_cast<float>(static_cast<double>(ns) * 1e-6); }

int32_t clamped(int64_t value) {
  using Limits = std::numeric_limits<int32_t>;
  return static_cast<int32_t>(std::clamp<int64_t>(value, Limits::min(), Limits::max()));
}

}  // namespace

Result<std::shared_ptr<Session>> Session::open(const std::string& bundle_dir,
                                               const PipelineOptions& options) {
  std::shared_ptr<Session> session(new Session);
  EDGEPOSE_ASSIGN_OR_RETURN(session->pipeline_, Pipeline::open(bundle_dir, options));
  return session;
}

Result<int32_t> Session::process(const ImageView& image, int64_t time_ns, void* words,
                                 size_t word_count) {
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return busy();
  if (word_count < kHeaderWords) {
    return Status(Code::kInvalidArgument,
                  "the result buffer has " + std::to_string(word_count) +
                      " words, its header has " + std::to_string(kHeaderWords),
                  "let PoseSession allocate it");
  }
  StageTimings times;
  EDGEPOSE_RETURN_IF_ERROR(pipeline_->process(image, time_ns, &poses_, &times));
  const KeypointSet& points = bundle().keypoints();
  const size_t room = (word_count - kHeaderWords) / words_per_person();
  const auto count = static_cast<int32_t>(std::min(room, poses_.size()));
  WordWriter writer(words);
  for (const int64_t value :
       {static_cast<int64_t>(poses_.size()), static_cast<int64_t>(count),
        static_cast<int64_t>(words_per_person()), static_cast<int64_t>(upright_width_px(image)),
        static_cast<int64_t>(upright_height_px(image))}) {
    writer.put(clamped(value));
  }
  for (const StageTiming& stage : kStageTimings) writer.put(milliseconds(times.*stage.value));
  for (size_t unused = 12; unused < kHeaderWords; ++unused) writer.put(int32_t{0});
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const Pose& pose = poses_[i];
    for (const float value : {pose.box.x1, pose.box.y1, pose.box.x2, pose.box.y2, pose.box_score}) {
      writer.put(value);
    }
    writer.put(clamped(pose.track_id));
    for (size_t k = 0; k < points.keypoints.size(); ++k) {
      const Keypoint point = k < pose.keypoints.size() ? pose.keypoints[k] : Keypoint();
      for (const float value : {point.x_px, point.y_px, point.score}) writer.put(value);
      if (points.has_z) writer.put(k < pose.z.size() ? pose.z[k] : 0.0F);
    }
  }
  return count;
}

Result<GoldenReport> Session::verify() {
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return busy();
  return pipeline_->verify_golden();
}

Status Session::reset() {
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return busy();
  return pipeline_->reset();
}

int64_t SessionTable::add(std::shared_ptr<Session> session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sessions_.emplace(++last_, std::move(session));
  return last_;
}

Result<std::shared_ptr<Session>> SessionTable::find(int64_t handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = sessions_.find(handle);
  if (found == sessions_.end()) {
    return Status(Code::kInvalidArgument, "the session is closed",
                  "open a new PoseSession; do not keep one after close()");
  }
  return found->second;
}

void SessionTable::remove(int64_t handle) {
  std::shared_ptr<Session> closed;  // destroyed after the lock is released
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = sessions_.find(handle);
  if (found == sessions_.end()) return;
  closed = std::move(found->second);
  sessions_.erase(found);
}

}  // namespace edgepose::jni
