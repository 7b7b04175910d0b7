#ifndef EDGEPOSE_BINDINGS_JNI_SESSION_H_
#define EDGEPOSE_BINDINGS_JNI_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "edgepose/pipeline.h"

namespace edgepose::jni {

// A pipeline and how its results lie in the buffer that Java reads; dev.edgepose.PoseFrame has the
// same numbers. The buffer holds 32-bit words: a header, then persons of equal length.
class Session {
 public:
  // Header: persons found, persons written, words per person, width and height of the upright
  // picture (integers), then the stage times in milliseconds in the order of StageTimings.
  static constexpr size_t kHeaderWords = 16;
  // Person: x1, y1, x2, y2, score, track id (an integer), then x, y, score and, for 3-D networks,
  // z of every keypoint.
  static constexpr size_t kBoxWords = 6;

  static Result<std::shared_ptr<Session>> open(const std::string& bundle_dir,
                                               const PipelineOptions& options);

  const Bundle& bundle() const { return pipeline_->bundle(); }
  size_t words_per_keypoint() const { return bundle().keypoints().has_z ? 4 : 3; }
  size_t words_per_person() const {
    return kBoxWords + bundle().keypoints().keypoints.size() * words_per_keypoint();
  }

  // Processes a frame and writes as many persons as fit. Returns how many were written.
  // Errors: those of Pipeline::process; kInvalidArgument for a buffer without room for the header
  // and for a second thread.
  Result<int32_t> process(const ImageView& image, int64_t time_ns, void* words, size_t word_count);

  Result<GoldenReport> verify();
  Status reset();

 private:
  Session() = default;

  std::mutex mutex_;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<Pose> poses_;
};

// Java holds numbers, never addresses: a stale or invented one is an error, not a crash. A session
// that is closed while another thread uses it lives until that call returns.
class SessionTable {
 public:
  int64_t add(std::shared_ptr<Session> session);
  // Error: kInvalidArgument where no open session has this number.
  Result<std::shared_ptr<Session>> find(int64_t handle);
  void remove(int64_t handle);

 private:
  std::mutex mutex_;
  int64_t last_ = 0;
  std::unordered_map<int64_t, std::shared_ptr<Session>> sessions_;
};

}  // namespace edgepose::jni

#endif  // EDGEPOSE_BINDINGS_JNI_SESSION_H_
