#include "edgepose.h"

#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "edgepose/pipeline.h"

using edgepose::BoxXyxy;
using edgepose::Code;
using edgepose::Pose;
using edgepose::Result;
using edgepose::Status;

struct edgepose_pipeline {
  std::unique_ptr<edgepose::Pipeline> pipeline;
  std::vector<int32_t> skeleton;

  const edgepose::Bundle& bundle() const { return pipeline->bundle(); }
  const std::vector<std::string>& keypoints() const { return bundle().keypoints().keypoints; }
};

struct edgepose_frame {
  std::mutex mutex;
  std::vector<Pose> poses;
  std::vector<edgepose_person> persons;  // their pointers lead into poses
  edgepose::StageTimings timings;
};

namespace {

static_assert(sizeof(edgepose_keypoint) == sizeof(edgepose::Keypoint), "one is lent as the other");
static_assert(sizeof(BoxXyxy) == 4 * sizeof(float), "four numbers are lent as a box");

constexpr char kOutOfMemory[] = "out of memory";

// The texts of the last failure; `fixed` stands in where memory is too short to keep them.
struct LastError {
  std::string message;
  std::string hint;
  const char* fixed = nullptr;
};
thread_local LastError last_error;

edgepose_code fail_fixed(const char* text) noexcept {
  last_error.fixed = text;
  return EDGEPOSE_INTERNAL;
}

edgepose_code fail(const Status& status) {
  last_error.message = status.message();
  last_error.hint = status.hint();
  last_error.fixed = nullptr;
  return static_cast<edgepose_code>(status.code());
}

// Runs body() -> Status: no C++ exception reaches the caller.
template <typename Body>
edgepose_code guarded(const Body& body) noexcept {
  try {
    const Status status = body();
    return status.ok() ? EDGEPOSE_OK : fail(status);
  } catch (const std::bad_alloc&) {
    return fail_fixed(kOutOfMemory);
  } catch (const std::exception& error) {
    try {
      return fail(Status(Code::kInternal, error.what()));
    } catch (...) {
      return fail_fixed(kOutOfMemory);
    }
  } catch (...) {
    return fail_fixed("an unknown C++ exception");
  }
}

Status missing(const char* what) {
  return Status(Code::kInvalidArgument, std::string(what) + " is NULL");
}

// Reads a structure that states its size; so far every version has the same one.
template <typename Struct>
Status read_struct(const Struct* from, const char* what, Struct* to) {
  if (from == nullptr) return missing(what);
  if (from->struct_size != sizeof(Struct)) {
    return Status(Code::kInvalidArgument,
                  std::string(what) + "->struct_size is " + std::to_string(from->struct_size) +
                      ", expected " + std::to_string(sizeof(Struct)),
                  "start from EDGEPOSE_OPTIONS_INIT or EDGEPOSE_IMAGE_INIT of this version");
  }
  *to = *from;
  return {};
}

Result<edgepose::PipelineOptions> to_options(const edgepose_options* given) {
  edgepose::PipelineOptions options;
  if (given == nullptr) return options;
  edgepose_options o = EDGEPOSE_OPTIONS_INIT;
  EDGEPOSE_RETURN_IF_ERROR(read_struct(given, "options", &o));
  options.threads = o.threads;
  options.track = o.track != 0;
  options.smooth = o.smooth != 0;
  options.detect_every = o.detect_every;
  options.detect_delay = o.detect_delay;
  if (o.device != nullptr) options.device = o.device;
  if (o.tracking_json != nullptr) {
    EDGEPOSE_ASSIGN_OR_RETURN(options.tracking, edgepose::parse_tracking(o.tracking_json));
  }
  return options;
}

Result<edgepose::ImageView> to_view(const edgepose_image* given) {
  edgepose_image i = EDGEPOSE_IMAGE_INIT;
  EDGEPOSE_RETURN_IF_ERROR(read_struct(given, "image", &i));
  edgepose::ImageView view;
  view.data = i.data;
  view.u = i.u;
  view.v = i.v;
  view.width_px = i.width_px;
  view.height_px = i.height_px;
  view.format = static_cast<edgepose::PixelFormat>(i.format);
  view.colour = static_cast<edgepose::YuvColour>(i.colour);
  view.rotation_deg = i.rotation_deg;
  view.mirrored = i.mirrored != 0;
  view.row_stride_bytes = i.row_stride_bytes;
  view.chroma_row_stride_bytes = i.chroma_row_stride_bytes;
  view.chroma_pixel_stride_bytes = i.chroma_pixel_stride_bytes;
  view.data_bytes = i.data_bytes;
  view.u_bytes = i.u_bytes;
  view.v_bytes = i.v_bytes;
  return view;
}

Result<std::unique_ptr<edgepose_pipeline>> open(const char* bundle, const edgepose_options* given) {
  EDGEPOSE_ASSIGN_OR_RETURN(const edgepose::PipelineOptions options, to_options(given));
  auto opened = std::make_unique<edgepose_pipeline>();
  EDGEPOSE_ASSIGN_OR_RETURN(opened->pipeline, edgepose::Pipeline::open(bundle, options));
  for (const auto& [from, end] : opened->bundle().keypoints().skeleton) {
    opened->skeleton.push_back(from);
    opened->skeleton.push_back(end);
  }
  return opened;
}

edgepose_person to_person(const Pose& pose) {
  edgepose_person person{};
  person.x1_px = pose.box.x1;
  person.y1_px = pose.box.y1;
  person.x2_px = pose.box.x2;
  person.y2_px = pose.box.y2;
  person.box_score = pose.box_score;
  person.track_id = pose.track_id;
  person.keypoints = reinterpret_cast<const edgepose_keypoint*>(pose.keypoints.data());
  person.z_m = pose.z.empty() ? nullptr : pose.z.data();
  return person;
}

// Fills a frame with what body(view, poses, timings) finds.
template <typename Body>
edgepose_code process(edgepose_pipeline* pipeline, const edgepose_image* image,
                      edgepose_frame* frame, const Body& body) {
  return guarded([&]() -> Status {
    if (frame == nullptr) return missing("frame");
    const std::unique_lock<std::mutex> lock(frame->mutex, std::try_to_lock);
    if (!lock.owns_lock()) {
      return Status(Code::kInvalidArgument, "the frame is in use by another thread",
                    "give each thread a pipeline and a frame of its own");
    }
    frame->persons.clear();
    frame->timings = {};
    if (pipeline == nullptr) return missing("pipeline");
    EDGEPOSE_ASSIGN_OR_RETURN(const edgepose::ImageView view, to_view(image));
    EDGEPOSE_RETURN_IF_ERROR(body(view, &frame->poses, &frame->timings));
    frame->persons.reserve(frame->poses.size());  // all or none
    for (const Pose& pose : frame->poses) frame->persons.push_back(to_person(pose));
    return {};
  });
}

}  // namespace

int32_t edgepose_abi_version(void) { return EDGEPOSE_ABI_VERSION; }

const char* edgepose_version(void) { return EDGEPOSE_VERSION; }

const char* edgepose_code_name(int32_t code) {
  if (code < EDGEPOSE_OK || code > EDGEPOSE_INTERNAL) return "unknown";
  return edgepose::code_name(static_cast<Code>(code));
}

const char* edgepose_last_error(void) {
  return last_error.fixed != nullptr ? last_error.fixed : last_error.message.c_str();
}

const char* edgepose_last_hint(void) {
  return last_error.fixed != nullptr ? "" : last_error.hint.c_str();
}

edgepose_code edgepose_open(const char* bundle, const edgepose_options* options,
                            edgepose_pipeline** pipeline) {
  if (pipeline != nullptr) *pipeline = nullptr;
  return guarded([&]() -> Status {
    if (bundle == nullptr) return missing("bundle");
    if (pipeline == nullptr) return missing("pipeline");
    EDGEPOSE_ASSIGN_OR_RETURN(std::unique_ptr<edgepose_pipeline> opened, open(bundle, options));
    *pipeline = opened.release();
    return {};
  });
}

void edgepose_close(edgepose_pipeline* pipeline) { delete pipeline; }

const char* edgepose_bundle_name(const edgepose_pipeline* pipeline) {
  return pipeline == nullptr ? "" : pipeline->bundle().name().c_str();
}

const char* edgepose_bundle_digest(const edgepose_pipeline* pipeline) {
  return pipeline == nullptr ? "" : pipeline->bundle().digest().c_str();
}

float edgepose_keypoint_score_threshold(const edgepose_pipeline* pipeline) {
  if (pipeline == nullptr) return 0;
  return pipeline->bundle().pipeline().keypoint_score_threshold;
}

size_t edgepose_keypoint_count(const edgepose_pipeline* pipeline) {
  return pipeline == nullptr ? 0 : pipeline->keypoints().size();
}

const char* edgepose_keypoint_name(const edgepose_pipeline* pipeline, size_t index) {
  if (pipeline == nullptr || index >= pipeline->keypoints().size()) return "";
  return pipeline->keypoints()[index].c_str();
}

const int32_t* edgepose_skeleton(const edgepose_pipeline* pipeline, size_t* pair_count) {
  if (pair_count != nullptr) *pair_count = pipeline == nullptr ? 0 : pipeline->skeleton.size() / 2;
  return pipeline == nullptr ? nullptr : pipeline->skeleton.data();
}

edgepose_frame* edgepose_frame_new(void) { return new (std::nothrow) edgepose_frame; }

void edgepose_frame_free(edgepose_frame* frame) { delete frame; }

edgepose_code edgepose_process(edgepose_pipeline* pipeline, const edgepose_image* image,
                               int64_t time_ns, edgepose_frame* frame) {
  return process(pipeline, image, frame, [&](const auto& view, auto* poses, auto* timings) {
    return pipeline->pipeline->process(view, time_ns, poses, timings);
  });
}

edgepose_code edgepose_process_boxes(edgepose_pipeline* pipeline, const edgepose_image* image,
                                     int64_t time_ns, const float* boxes, size_t box_count,
                                     edgepose_frame* frame) {
  return process(
      pipeline, image, frame, [&](const auto& view, auto* poses, auto* timings) -> Status {
        if (boxes == nullptr && box_count > 0) return missing("boxes");
        const auto* first = reinterpret_cast<const BoxXyxy*>(boxes);
        return pipeline->pipeline->process_boxes(view, time_ns, {first, box_count}, poses, timings);
      });
}

const edgepose_person* edgepose_frame_persons(const edgepose_frame* frame, size_t* count) {
  if (count != nullptr) *count = frame == nullptr ? 0 : frame->persons.size();
  return frame == nullptr ? nullptr : frame->persons.data();
}

edgepose_timings edgepose_frame_timings(const edgepose_frame* frame) {
  if (frame == nullptr) return {};
  const edgepose::StageTimings& t = frame->timings;
  return {t.detector_preprocess_ns,
          t.detector_ns,
          t.detector_decode_ns,
          t.pose_preprocess_ns,
          t.pose_ns,
          t.pose_decode_ns,
          t.total_ns};
}

edgepose_code edgepose_verify(edgepose_pipeline* pipeline, edgepose_verification* verification) {
  return guarded([&]() -> Status {
    if (pipeline == nullptr) return missing("pipeline");
    if (verification == nullptr) return missing("verification");
    EDGEPOSE_ASSIGN_OR_RETURN(const edgepose::GoldenReport report,
                              pipeline->pipeline->verify_golden());
    *verification = {report.passed ? 1 : 0, report.tolerance_px,     report.box_mean_px,
                     report.box_max_px,     report.keypoint_mean_px, report.keypoint_max_px};
    return {};
  });
}

edgepose_code edgepose_reset(edgepose_pipeline* pipeline) {
  return guarded([&]() -> Status {
    if (pipeline == nullptr) return missing("pipeline");
    return pipeline->pipeline->reset();
  });
}
