#include "edgepose/pipeline.h"

#include <unistd.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "background_detector.h"
#include "edgepose/boxes.h"
#include "edgepose/tracker.h"
#include "engines/engines.h"
#include "golden.h"
#include "pose_motion.h"
#include "scene_change.h"
#include "stages.h"
#include "stopwatch.h"
#include "worker_pool.h"

namespace edgepose {
namespace {

constexpr int kMaxDetectEvery = 100000;

}  // namespace

class Pipeline::Impl {
 public:
  explicit Impl(Bundle bundle) : bundle_(std::move(bundle)) {}

  Status open(const PipelineOptions& options) {
    EngineOptions engine_options;
    engine_options.threads = options.threads;
    engine_options.device = options.device;
    engine_options.scratch = std::make_shared<EngineScratch>();
    if (options.threads < 1 || options.threads > 256) {
      return Status(Code::kInvalidArgument, "threads is " + std::to_string(options.threads),
                    "use 1 to 256");
    }
    EDGEPOSE_RETURN_IF_ERROR(open_tracker(options));
    pool_ = std::make_unique<WorkerPool>(options.threads);
    if (bundle_.model("detector") != nullptr) {
      EngineOptions behind = engine_options;
      if (options.detect_delay > 0) {
        behind.threads = 1;
        behind.scratch = nullptr;
      }
      EDGEPOSE_ASSIGN_OR_RETURN(detector_, DetectorStage::open(bundle_, behind));
      if (options.detect_delay > 0)
        background_ = std::make_unique<BackgroundDetector>(detector_.get());
    }
    if (bundle_.model("pose") != nullptr) {
      EDGEPOSE_ASSIGN_OR_RETURN(pose_, PoseStage::open(bundle_, engine_options, pool_.get()));
    }
    if (bundle_.model("one_stage") != nullptr) {
      EDGEPOSE_ASSIGN_OR_RETURN(one_stage_,
                                OneStageStage::open(bundle_, engine_options, pool_.get()));
    }
    return {};
  }

  const Bundle& bundle() const { return bundle_; }

  // A pipeline has threads, which are not there in a process that is forked later: to use it there,
  // or to end it, would wait for them for ever.
  bool is_of_this_process() const { return getpid() == process_; }

  // The lock for one call. Errors: kInvalidArgument in another process, and for a second thread.
  Result<std::unique_lock<std::mutex>> enter() {
    if (!is_of_this_process()) {
      return Status(Code::kInvalidArgument,
                    "the pipeline was opened in another process, from which this one was forked",
                    "open one in each process");
    }
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (lock.owns_lock()) return lock;
    return Status(Code::kInvalidArgument, "the pipeline is in use by another thread",
                  "open one pipeline a thread");
  }

  Status process(const ImageView& image, int64_t time_ns, std::vector<Pose>* out,
                 StageTimings* timings) {
    EDGEPOSE_RETURN_IF_ERROR(validate(image));
    if (tracker_ == nullptr) return find_all(image, out, timings);
    EDGEPOSE_RETURN_IF_ERROR(begin_frame(image, time_ns));
    if (background_ != nullptr) {
      Status done = process_behind(image, out, timings);
      // The tracker would not know the frame that a detection was begun with.
      if (!done.ok()) forget_detection();
      return done;
    }
    const bool due = frames_to_detection_ <= 0 || tracker_->wants_detection();
    if (due) {
      EDGEPOSE_RETURN_IF_ERROR(find_all(image, out, timings));
    } else {
      follow(tracker_->predict(), out);
      EDGEPOSE_RETURN_IF_ERROR(pose_->run(image, *out, timings));
    }
    frames_to_detection_ = (due ? detect_every_ : frames_to_detection_) - 1;
    const auto source = due ? Tracker::Source::kDetected : Tracker::Source::kFollowed;
    set_count(tracker_->update(source, *out), out);
    return {};
  }

  Status process_boxes(const ImageView& image, int64_t time_ns, Span<const BoxXyxy> boxes,
                       std::vector<Pose>* out, StageTimings* timings) {
    if (tracker_ == nullptr) return find_in(image, boxes, out, timings);
    EDGEPOSE_RETURN_IF_ERROR(validate(image));
    EDGEPOSE_RETURN_IF_ERROR(begin_frame(image, time_ns));
    EDGEPOSE_RETURN_IF_ERROR(find_in(image, boxes, out, timings));
    forget_detection();
    set_count(tracker_->update(Tracker::Source::kGiven, *out), out);
    return {};
  }

  void reset() {
    if (tracker_ != nullptr) tracker_->reset();
    forget_detection();
  }

  Status detect(const ImageView& image, std::vector<Detection>* out, StageTimings* timings) {
    if (detector_ == nullptr && one_stage_ == nullptr) {
      return Status(Code::kUnsupported, "the bundle \"" + bundle_.name() + "\" has no detector");
    }
    EDGEPOSE_RETURN_IF_ERROR(validate(image));
    if (background_ != nullptr) forget_detection();
    return detector_ != nullptr ? detector_->run(image, out, timings)
                                : one_stage_->run(image, out, &keypoints_, timings);
  }

  Result<GoldenReport> verify_golden() {
    const GoldenSpec& golden = bundle_.golden();
    EDGEPOSE_ASSIGN_OR_RETURN(const std::vector<uint8_t> pixels, read_golden_picture(golden));
    ImageView image;
    image.data = pixels.data();
    image.width_px = golden.width_px;
    image.height_px = golden.height_px;
    image.row_stride_bytes = static_cast<ptrdiff_t>(golden.width_px) * 3;
    StageTimings unused;
    std::vector<Detection> detections;
    std::vector<Pose> poses;
    if (golden.has_detections) EDGEPOSE_RETURN_IF_ERROR(detect(image, &detections, &unused));
    if (golden.has_poses && one_stage_ != nullptr) {
      set_count(detections.size(), &poses);
      for (size_t i = 0; i < poses.size(); ++i) fill_one_stage(i, detections[i], &poses[i]);
    } else if (golden.has_poses) {
      EDGEPOSE_RETURN_IF_ERROR(find_in(image, golden.boxes, &poses, &unused));
    }
    return compare_with_golden(bundle_, detections, poses);
  }

 private:
  Status open_tracker(const PipelineOptions& options) {
    const auto wrong = [](const std::string& message, const std::string& hint) {
      return Status(Code::kInvalidArgument, message, hint);
    };
    if (options.detect_every < 1 || options.detect_every > kMaxDetectEvery) {
      return wrong("detect_every is " + std::to_string(options.detect_every),
                   "use 1 to " + std::to_string(kMaxDetectEvery));
    }
    if (options.detect_delay < 0 || options.detect_delay > options.detect_every) {
      return wrong("detect_delay is " + std::to_string(options.detect_delay),
                   "use 0 to detect_every, which is " + std::to_string(options.detect_every));
    }
    const bool follows = options.detect_every > 1 || options.detect_delay > 0;
    const std::string which = options.detect_every > 1 ? "detect_every above 1" : "detect_delay";
    if (!options.track) {
      if (!options.smooth && !follows && !options.tracking.has_value()) return {};
      const std::string what = options.smooth ? "smoothing" : follows ? which : "tracking settings";
      return wrong(what + " without tracking", "set track as well");
    }
    if (follows && bundle_.pipeline().type != PipelineSettings::Type::kTopDown) {
      return wrong(which + " needs a detector with a pose network, which the bundle \"" +
                       bundle_.name() + "\" is not",
                   "leave it out");
    }
    const auto& settings = options.tracking.has_value() ? options.tracking : bundle_.tracking();
    if (!settings.has_value()) {
      return wrong("the bundle \"" + bundle_.name() + "\" has no \"tracking\" member",
                   "make it again with edgepose convert, or give tracking settings");
    }
    scene_change_levels_ = settings->scene_change_levels;
    detect_every_ = options.detect_every;
    detect_delay_ = options.detect_delay;
    const KeypointSet& points = bundle_.keypoints();
    tracker_ = std::make_unique<Tracker>(*settings, points.sigmas,
                                         bundle_.pipeline().keypoint_score_threshold,
                                         options.smooth, body_points(points.keypoints));
    return {};
  }

  // At a cut and after a pause everybody is somebody new, and what the detector found is old.
  Status begin_frame(const ImageView& image, int64_t time_ns) {
    EDGEPOSE_RETURN_IF_ERROR(
        tracker_->begin(time_ns, upright_width_px(image), upright_height_px(image)));
    if (scene_.is_cut(image, scene_change_levels_) || tracker_->after_pause()) {
      tracker_->end_tracks();
      forget_detection();
    }
    return {};
  }

  // A frame while the detector works behind it.
  Status process_behind(const ImageView& image, std::vector<Pose>* out, StageTimings* timings) {
    const std::vector<Tracker::Prediction>& expected = tracker_->predict();
    wants_detection_ = wants_detection_ || tracker_->wants_detection();
    const bool due = frames_to_detection_ <= 0 || wants_detection_;
    --frames_to_detection_;
    --frames_to_result_;
    // With nobody to follow there is nothing to do meanwhile.
    const bool idle = expected.empty();
    bool begun = false;
    const auto begin = [&] {
      begun = true;
      wants_detection_ = false;
      frames_to_detection_ = detect_every_ - 1;
      frames_to_result_ = detect_delay_;
      return background_->begin(image, timings);
    };
    if (idle && due && !background_->is_running()) EDGEPOSE_RETURN_IF_ERROR(begin());
    const bool now = begun;
    const bool arrived = background_->is_running() && (idle || frames_to_result_ <= 0);
    if (arrived) {
      EDGEPOSE_RETURN_IF_ERROR(background_->finish(&detections_, timings));
      tracker_->advance(detections_);
      take_persons(out);
    } else {
      follow(expected, out);
    }
    if (due && !now && !background_->is_running()) EDGEPOSE_RETURN_IF_ERROR(begin());
    EDGEPOSE_RETURN_IF_ERROR(pose_->run(image, *out, timings));
    const auto source = arrived ? Tracker::Source::kDetected : Tracker::Source::kFollowed;
    set_count(tracker_->update(source, *out), out);
    if (begun) tracker_->remember();
    return {};
  }

  // The next frame is one with a detection.
  void forget_detection() {
    if (background_ != nullptr && background_->is_running()) {
      StageTimings unused;
      // Whether it failed does not matter any more.
      static_cast<void>(background_->finish(&detections_, &unused));
    }
    frames_to_detection_ = 0;
    wants_detection_ = false;
  }

  void follow(const std::vector<Tracker::Prediction>& expected, std::vector<Pose>* out) {
    set_count(expected.size(), out);
    for (size_t i = 0; i < expected.size(); ++i)
      fill((*out)[i], expected[i].box, expected[i].box_score);
  }

  // The detections that are persons and can be cropped.
  void take_persons(std::vector<Pose>* out) {
    const PipelineSettings& settings = bundle_.pipeline();
    size_t count = 0;
    for (const Detection& d : detections_) {
      const bool person =
          d.label == settings.person_label && d.score >= settings.box_score_threshold &&
          d.box.x2 - d.box.x1 >= kMinBoxSide_px && d.box.y2 - d.box.y1 >= kMinBoxSide_px;
      if (person) detections_[count++] = d;
    }
    detections_.resize(count);
    set_count(count, out);
    for (size_t i = 0; i < count; ++i) fill((*out)[i], detections_[i].box, detections_[i].score);
  }

  // The persons of a picture, whatever came before.
  Status find_all(const ImageView& image, std::vector<Pose>* out, StageTimings* timings) {
    if (one_stage_ != nullptr) return process_one_stage(image, out, timings);
    if (detector_ == nullptr) {
      set_count(1, out);
      fill((*out)[0],
           {0, 0, static_cast<float>(upright_width_px(image)),
            static_cast<float>(upright_height_px(image))},
           1.0F);
    } else {
      EDGEPOSE_RETURN_IF_ERROR(detector_->run(image, &detections_, timings));
      take_persons(out);
    }
    return pose_ == nullptr ? Status() : pose_->run(image, *out, timings);
  }

  Status find_in(const ImageView& image, Span<const BoxXyxy> boxes, std::vector<Pose>* out,
                 StageTimings* timings) {
    if (pose_ == nullptr) {
      return Status(Code::kUnsupported,
                    "the bundle \"" + bundle_.name() + "\" has no pose network that takes boxes");
    }
    EDGEPOSE_RETURN_IF_ERROR(validate(image));
    set_count(boxes.size(), out);
    for (size_t i = 0; i < boxes.size(); ++i) fill((*out)[i], boxes[i], 1.0F);
    return pose_->run(image, *out, timings);
  }

  static void fill(Pose& pose, const BoxXyxy& box, float score) {
    pose.box = box;
    pose.box_score = score;
    pose.track_id = -1;
    pose.keypoints.clear();
    pose.z.clear();
  }

  Status process_one_stage(const ImageView& image, std::vector<Pose>* out, StageTimings* timings) {
    EDGEPOSE_RETURN_IF_ERROR(one_stage_->run(image, &detections_, &keypoints_, timings));
    // The best come first, so the persons above the threshold are the first ones.
    const float threshold = bundle_.pipeline().box_score_threshold;
    size_t count = 0;
    while (count < detections_.size() && detections_[count].score >= threshold) ++count;
    set_count(count, out);
    for (size_t i = 0; i < count; ++i) fill_one_stage(i, detections_[i], &(*out)[i]);
    return {};
  }

  void fill_one_stage(size_t person, const Detection& detection, Pose* pose) const {
    fill(*pose, detection.box, detection.score);
    const size_t points = one_stage_->keypoint_count();
    const auto first = keypoints_.begin() + static_cast<ptrdiff_t>(person * points);
    pose->keypoints.assign(first, first + static_cast<ptrdiff_t>(points));
  }

  // Like resize(), but the memory of poses that a frame does not need waits for the next one that
  // does: no more than any frame needed, as the list may have been filled by another pipeline.
  void set_count(size_t count, std::vector<Pose>* poses) {
    most_ = std::max(most_, count);
    while (poses->size() > count) {
      if (spare_.size() + count < most_) spare_.push_back(std::move(poses->back()));
      poses->pop_back();
    }
    while (poses->size() < count) {
      if (spare_.empty()) {
        poses->emplace_back();
      } else {
        poses->push_back(std::move(spare_.back()));
        spare_.pop_back();
      }
    }
  }

  const pid_t process_ = getpid();
  Bundle bundle_;
  std::mutex mutex_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<DetectorStage> detector_;
  std::unique_ptr<BackgroundDetector> background_;  // uses detector_, so it goes first
  std::unique_ptr<PoseStage> pose_;
  std::unique_ptr<OneStageStage> one_stage_;
  std::unique_ptr<Tracker> tracker_;
  SceneChange scene_;
  float scene_change_levels_ = 0;
  int detect_every_ = 1;
  int detect_delay_ = 0;
  int frames_to_detection_ = 0;
  int frames_to_result_ = 0;      // of the detection that runs behind
  bool wants_detection_ = false;  // since the last one began
  std::vector<Detection> detections_;
  std::vector<Keypoint> keypoints_;
  size_t most_ = 0;
  std::vector<Pose> spare_;
};

namespace {

// Runs body(timings) with the lock held, and takes the total time.
template <typename Impl, typename Body>
Status exclusive(Impl* impl, StageTimings* timings, const Body& body) {
  EDGEPOSE_ASSIGN_OR_RETURN(const auto lock, impl->enter());
  StageTimings local;
  if (timings == nullptr) timings = &local;
  *timings = StageTimings();
  const Stopwatch watch(&timings->total_ns);
  return body(timings);
}

}  // namespace

Pipeline::Pipeline(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Pipeline::~Pipeline() {
  if (!impl_->is_of_this_process()) static_cast<void>(impl_.release());
}

Result<std::unique_ptr<Pipeline>> Pipeline::open(const std::string& bundle_dir,
                                                 const PipelineOptions& options) {
  return guarded("the pipeline", [&]() -> Result<std::unique_ptr<Pipeline>> {
    EDGEPOSE_ASSIGN_OR_RETURN(Bundle bundle, Bundle::open(bundle_dir));
    auto impl = std::make_unique<Impl>(std::move(bundle));
    EDGEPOSE_RETURN_IF_ERROR(about_bundle(bundle_dir, impl->open(options)));
    return std::unique_ptr<Pipeline>(new Pipeline(std::move(impl)));
  });
}

const Bundle& Pipeline::bundle() const { return impl_->bundle(); }

Status Pipeline::process(const ImageView& image, int64_t time_ns, std::vector<Pose>* out,
                         StageTimings* timings) {
  return exclusive(impl_.get(), timings,
                   [&](StageTimings* t) { return impl_->process(image, time_ns, out, t); });
}

Status Pipeline::process_boxes(const ImageView& image, int64_t time_ns, Span<const BoxXyxy> boxes,
                               std::vector<Pose>* out, StageTimings* timings) {
  return exclusive(impl_.get(), timings, [&](StageTimings* t) {
    return impl_->process_boxes(image, time_ns, boxes, out, t);
  });
}

Status Pipeline::detect(const ImageView& image, std::vector<Detection>* out,
                        StageTimings* timings) {
  return exclusive(impl_.get(), timings,
                   [&](StageTimings* t) { return impl_->detect(image, out, t); });
}

Result<GoldenReport> Pipeline::verify_golden() {
  EDGEPOSE_ASSIGN_OR_RETURN(const auto lock, impl_->enter());
  return impl_->verify_golden();
}

Status Pipeline::reset() {
  EDGEPOSE_ASSIGN_OR_RETURN(const auto lock, impl_->enter());
  impl_->reset();
  return {};
}

}  // namespace edgepose
