#ifndef EDGEPOSE_SRC_STAGES_H_
#define EDGEPOSE_SRC_STAGES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "edgepose/boxes.h"
#include "edgepose/bundle.h"
#include "edgepose/engine.h"
#include "edgepose/preprocess.h"
#include "edgepose/rtmo.h"
#include "worker_pool.h"

namespace edgepose {

// The networks of a pipeline with their pre- and post-processing. Buffers are kept between frames.

class DetectorStage {
 public:
  static Result<std::unique_ptr<DetectorStage>> open(const Bundle& bundle,
                                                     const EngineOptions& options);
  Status run(const ImageView& image, std::vector<Detection>* detections, StageTimings* timings);
  // The two halves of run(); the picture is not needed after the first.
  Status read(const ImageView& image, StageTimings* timings);
  Status find(std::vector<Detection>* detections, StageTimings* timings);

 private:
  BundleModel model_;
  std::unique_ptr<InferenceEngine> engine_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> outputs_;
  InputTransform transform_;
  int width_px_ = 0, height_px_ = 0;
  BoxScratch scratch_;
};

class PoseStage {
 public:
  // The pool serves pre- and post-processing and is borrowed for the life of the stage.
  static Result<std::unique_ptr<PoseStage>> open(const Bundle& bundle, const EngineOptions& options,
                                                 WorkerPool* pool);

  // Fills keypoints and z of poses[i] for its box.
  Status run(const ImageView& image, Span<Pose> poses, StageTimings* timings);

 private:
  Status run_batch(const ImageView& image, Span<Pose> poses, StageTimings* timings);

  BundleModel model_;
  WorkerPool* pool_ = nullptr;
  int max_batch_ = 1;
  std::unique_ptr<InferenceEngine> engine_;
  std::vector<int64_t> input_dims_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> outputs_;
  std::vector<InputTransform> transforms_;
  std::vector<Status> statuses_;
};

class OneStageStage {
 public:
  static Result<std::unique_ptr<OneStageStage>> open(const Bundle& bundle,
                                                     const EngineOptions& options,
                                                     WorkerPool* pool);

  // keypoints receives those of every person, one after the other. The detector's timings are
  // filled.
  Status run(const ImageView& image, std::vector<Detection>* persons,
             std::vector<Keypoint>* keypoints, StageTimings* timings);
  size_t keypoint_count() const { return std::get<RtmoHead>(model_.head).keypoints.size(); }

 private:
  BundleModel model_;
  std::unique_ptr<InferenceEngine> engine_;
  std::unique_ptr<RtmoDecoder> decoder_;
  std::vector<Tensor> inputs_;
  std::vector<Tensor> outputs_;
};

// The engine of one model of a bundle. Error: kInvalidBundle for a fixed batch of more than 1, and
// those of make_engine.
Result<std::unique_ptr<InferenceEngine>> open_engine(const Bundle& bundle, const BundleModel& model,
                                                     const EngineOptions& options);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_STAGES_H_
