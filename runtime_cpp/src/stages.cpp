#include "stages.h"

#include <algorithm>
#include <string>
#include <utility>

#include "edgepose/simcc.h"
#include "stopwatch.h"

namespace edgepose {
namespace {

// Persons in one run of the pose network: a bound on the memory for a crowd. A processor gains
// nothing from more than a few for each thread.
constexpr int kMaxBatch = 32;
constexpr int kPersonsPerThread = 2;

}  // namespace

Result<std::unique_ptr<InferenceEngine>> open_engine(const Bundle& bundle, const BundleModel& model,
                                                     const EngineOptions& options) {
  const int64_t batch = model.files.inputs[0].dims[0];
  if (batch != -1 && batch != 1) {
    return Status(
        Code::kInvalidBundle,
        "the input of \"" + model.name + "\" has a batch of " + std::to_string(batch) + ", not 1",
        "convert the checkpoint again");
  }
  EngineOptions with_precision = options;
  with_precision.precision = bundle.precision();
  return make_engine(bundle.backend(), model.files, with_precision);
}

Result<std::unique_ptr<DetectorStage>> DetectorStage::open(const Bundle& bundle,
                                                           const EngineOptions& options) {
  auto stage = std::make_unique<DetectorStage>();
  stage->model_ = *bundle.model("detector");
  EngineOptions single = options;
  single.max_batch = 1;
  EDGEPOSE_ASSIGN_OR_RETURN(stage->engine_, open_engine(bundle, stage->model_, single));
  stage->inputs_.resize(1);
  stage->inputs_[0].resize(
      {1, 3, stage->model_.preprocess.input_height_px, stage->model_.preprocess.input_width_px});
  return stage;
}

Status DetectorStage::run(const ImageView& image, std::vector<Detection>* detections,
                          StageTimings* timings) {
  EDGEPOSE_RETURN_IF_ERROR(read(image, timings));
  return find(detections, timings);
}

Status DetectorStage::read(const ImageView& image, StageTimings* timings) {
  const Stopwatch watch(&timings->detector_preprocess_ns);
  width_px_ = upright_width_px(image);
  height_px_ = upright_height_px(image);
  return preprocess(image, nullptr, model_.preprocess, inputs_[0].data(), &transform_);
}

Status DetectorStage::find(std::vector<Detection>* detections, StageTimings* timings) {
  {
    const Stopwatch watch(&timings->detector_ns);
    EDGEPOSE_RETURN_IF_ERROR(engine_->run(inputs_, &outputs_));
  }
  const Stopwatch watch(&timings->detector_decode_ns);
  return decode_boxes(outputs_, 0, std::get<BoxHead>(model_.head), model_.preprocess, transform_,
                      width_px_, height_px_, &scratch_, detections);
}

Result<std::unique_ptr<OneStageStage>> OneStageStage::open(const Bundle& bundle,
                                                           const EngineOptions& options,
                                                           WorkerPool* pool) {
  auto stage = std::make_unique<OneStageStage>();
  stage->model_ = *bundle.model("one_stage");
  const BundleModel& model = stage->model_;
  EDGEPOSE_ASSIGN_OR_RETURN(
      stage->decoder_,
      RtmoDecoder::open(std::get<RtmoHead>(model.head), model.files.paths.at("dcc"), pool));
  EngineOptions single = options;
  single.max_batch = 1;
  EDGEPOSE_ASSIGN_OR_RETURN(stage->engine_, open_engine(bundle, model, single));
  stage->inputs_.resize(1);
  stage->inputs_[0].resize(
      {1, 3, model.preprocess.input_height_px, model.preprocess.input_width_px});
  return stage;
}

Status OneStageStage::run(const ImageView& image, std::vector<Detection>* persons,
                          std::vector<Keypoint>* keypoints, StageTimings* timings) {
  InputTransform transform;
  {
    const Stopwatch watch(&timings->detector_preprocess_ns);
    EDGEPOSE_RETURN_IF_ERROR(
        preprocess(image, nullptr, model_.preprocess, inputs_[0].data(), &transform));
  }
  {
    const Stopwatch watch(&timings->detector_ns);
    EDGEPOSE_RETURN_IF_ERROR(engine_->run(inputs_, &outputs_));
  }
  const Stopwatch watch(&timings->detector_decode_ns);
  return decoder_->decode(outputs_, 0, model_.preprocess, transform, upright_width_px(image),
                          upright_height_px(image), persons, keypoints);
}

Result<std::unique_ptr<PoseStage>> PoseStage::open(const Bundle& bundle,
                                                   const EngineOptions& options, WorkerPool* pool) {
  auto stage = std::make_unique<PoseStage>();
  stage->model_ = *bundle.model("pose");
  const BundleModel& model = stage->model_;
  EDGEPOSE_ASSIGN_OR_RETURN(stage->engine_, open_engine(bundle, model, options));
  stage->pool_ = pool;
  const int useful = options.device == "CPU" ? kPersonsPerThread * options.threads : kMaxBatch;
  stage->max_batch_ = model.files.inputs[0].dims[0] == 1 ? 1 : std::min(useful, kMaxBatch);
  stage->input_dims_ = {1, 3, model.preprocess.input_height_px, model.preprocess.input_width_px};
  stage->inputs_.resize(1);
  stage->transforms_.resize(kMaxBatch);
  stage->statuses_.resize(kMaxBatch);
  return stage;
}

Status PoseStage::run(const ImageView& image, Span<Pose> poses, StageTimings* timings) {
  const size_t step = static_cast<size_t>(max_batch_);
  for (size_t first = 0; first < poses.size(); first += step) {
    const size_t count = std::min(step, poses.size() - first);
    EDGEPOSE_RETURN_IF_ERROR(run_batch(image, Span<Pose>(poses.data() + first, count), timings));
  }
  return {};
}

Status PoseStage::run_batch(const ImageView& image, Span<Pose> poses, StageTimings* timings) {
  struct Context {
    PoseStage* stage;
    const ImageView* image;
    Span<Pose> poses;
  } context{this, &image, poses};
  const int count = static_cast<int>(poses.size());
  {
    const Stopwatch watch(&timings->pose_preprocess_ns);
    input_dims_[0] = count;
    inputs_[0].resize(input_dims_);
    pool_->run(
        count,
        [](void* opaque, int, int item) {
          const Context& c = *static_cast<const Context*>(opaque);
          PoseStage& s = *c.stage;
          const size_t i = static_cast<size_t>(item);
          const int64_t elements = s.inputs_[0].count() / s.inputs_[0].dim(0);
          s.statuses_[i] = preprocess(*c.image, &c.poses[i].box, s.model_.preprocess,
                                      s.inputs_[0].data() + elements * item, &s.transforms_[i]);
        },
        &context);
    for (size_t i = 0; i < poses.size(); ++i) EDGEPOSE_RETURN_IF_ERROR(statuses_[i]);
  }
  {
    const Stopwatch watch(&timings->pose_ns);
    EDGEPOSE_RETURN_IF_ERROR(engine_->run(inputs_, &outputs_));
  }
  const Stopwatch watch(&timings->pose_decode_ns);
  const SimccHead& simcc = std::get<SimccHead>(model_.head);
  for (Pose& pose : poses) {  // here, for a worker that finds no memory ends the process
    pose.keypoints.resize(simcc.keypoints.size());
    pose.z.resize(simcc.has_z ? simcc.keypoints.size() : 0);
  }
  pool_->run(
      count,
      [](void* opaque, int, int item) {
        const Context& c = *static_cast<const Context*>(opaque);
        PoseStage& s = *c.stage;
        const SimccHead& head = std::get<SimccHead>(s.model_.head);
        Pose& pose = c.poses[static_cast<size_t>(item)];
        const int points = static_cast<int>(head.keypoints.size());
        const auto rows = [&](size_t o) {
          return s.outputs_[o].data() + item * s.outputs_[o].dim(1) * s.outputs_[o].dim(2);
        };
        const auto bins = [&](size_t o) { return static_cast<int>(s.outputs_[o].dim(2)); };
        decode_simcc(rows(0), bins(0), rows(1), bins(1), head.has_z ? rows(2) : nullptr,
                     head.has_z ? bins(2) : 0, points, head,
                     s.transforms_[static_cast<size_t>(item)], pose.keypoints.data(),
                     head.has_z ? pose.z.data() : nullptr);
      },
      &context);
  return {};
}

}  // namespace edgepose
