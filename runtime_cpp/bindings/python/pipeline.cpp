#include "edgepose/pipeline.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"

namespace edgepose::python {
namespace {

py::dict timings_dict(const StageTimings& timings) {
  py::dict dict;
  for (const StageTiming& stage : kStageTimings) dict[stage.name] = timings.*stage.value;
  return dict;
}

py::dict report_dict(const GoldenReport& r) {
  py::dict dict;
  dict["passed"] = r.passed;
  dict["tolerance_px"] = r.tolerance_px;
  dict["detections_expected"] = r.detections_expected;
  dict["detections_matched"] = r.detections_matched;
  dict["detections_unexpected"] = r.detections_unexpected;
  dict["box_mean_px"] = r.box_mean_px;
  dict["box_max_px"] = r.box_max_px;
  dict["keypoints_compared"] = r.keypoints_compared;
  dict["keypoint_mean_px"] = r.keypoint_mean_px;
  dict["keypoint_max_px"] = r.keypoint_max_px;
  return dict;
}

// The end of a pipeline waits for a detection that is under way.
struct DeleteUnlocked {
  void operator()(const Pipeline* pipeline) const {
    const Unlocked unlocked;
    delete pipeline;
  }
};
using PipelineHolder = std::unique_ptr<Pipeline, DeleteUnlocked>;

PipelineHolder open_pipeline(const std::string& bundle_dir, int threads, const std::string& device,
                             int detect_every, int detect_delay, bool track, bool smooth,
                             const std::optional<std::string>& tracking_json) {
  PipelineOptions options;
  options.threads = threads;
  options.device = device;
  options.detect_every = detect_every;
  options.detect_delay = detect_delay;
  options.track = track;
  options.smooth = smooth;
  if (tracking_json) options.tracking = value_or_raise(parse_tracking(*tracking_json));
  const auto open = [&] {
    const Unlocked unlocked;
    return Pipeline::open(bundle_dir, options);
  };
  return PipelineHolder(value_or_raise(open()).release());
}

py::tuple process(Pipeline& pipeline, const ByteArray& image, int64_t time_ns,
                  const std::optional<FloatArray>& boxes) {
  const ImageView view = image_view(image);
  if (boxes && (boxes->ndim() != 2 || boxes->shape(1) != 4))
    raise_invalid("boxes must be float32 [N, 4]");
  static_assert(sizeof(BoxXyxy) == 4 * sizeof(float), "a row of the array is a BoxXyxy");
  // The list lives for this call: another thread's call must meet the pipeline's lock, not this
  // vector.
  std::vector<Pose> poses;
  StageTimings timings;
  Status status;
  const auto* box_rows = boxes ? reinterpret_cast<const BoxXyxy*>(boxes->data()) : nullptr;
  const size_t box_count = boxes ? static_cast<size_t>(boxes->shape(0)) : 0;
  {
    const Unlocked unlocked;
    status = boxes ? pipeline.process_boxes(view, time_ns, {box_rows, box_count}, &poses, &timings)
                   : pipeline.process(view, time_ns, &poses, &timings);
  }
  check(status);
  const bool has_z = pipeline.bundle().keypoints().has_z;
  const auto points = static_cast<py::ssize_t>(pipeline.bundle().keypoints().keypoints.size());
  const py::ssize_t count = static_cast<py::ssize_t>(poses.size());
  FloatArray keypoints({count, points, py::ssize_t{3}});
  FloatArray box_array({count, py::ssize_t{5}});
  py::array_t<int64_t> track_ids(count);
  FloatArray z({has_z ? count : 0, points});
  float* keypoint = keypoints.mutable_data();
  float* row = box_array.mutable_data();
  float* depth = z.mutable_data();
  for (py::ssize_t i = 0; i < count; ++i) {
    const Pose& pose = poses[static_cast<size_t>(i)];
    for (const Keypoint& p : pose.keypoints) {
      const float values[] = {p.x_px, p.y_px, p.score};
      keypoint = std::copy(std::begin(values), std::end(values), keypoint);
    }
    const float values[] = {pose.box.x1, pose.box.y1, pose.box.x2, pose.box.y2, pose.box_score};
    row = std::copy(std::begin(values), std::end(values), row);
    track_ids.mutable_data()[i] = pose.track_id;
    depth = std::copy(pose.z.begin(), pose.z.end(), depth);
  }
  const py::object z_or_none = has_z ? py::object(z) : py::object(py::none());
  return py::make_tuple(keypoints, box_array, track_ids, z_or_none, timings_dict(timings));
}

FloatArray detect(Pipeline& pipeline, const ByteArray& image) {
  const ImageView view = image_view(image);
  std::vector<Detection> detections;
  Status status;
  {
    const Unlocked unlocked;
    status = pipeline.detect(view, &detections);
  }
  check(status);
  return detections_array(detections);
}

py::dict verify_golden(Pipeline& pipeline) {
  const auto verify = [&pipeline] {
    const Unlocked unlocked;
    return pipeline.verify_golden();
  };
  return report_dict(value_or_raise(verify()));
}

}  // namespace

void bind_pipeline(py::module_& module) {
  py::class_<Pipeline, PipelineHolder>(
      module, "Pipeline", "A bundle in use: pictures in, persons out.")
      .def(py::init(&open_pipeline), py::arg("bundle_dir"), py::kw_only(), py::arg("threads"),
           py::arg("device") = "CPU", py::arg("detect_every") = 1, py::arg("detect_delay") = 0,
           py::arg("track") = false, py::arg("smooth") = false,
           py::arg("tracking_json") = py::none(),
           "Open a bundle, verify it and load its networks.\n\n"
           "tracking_json: a \"tracking\" member in place of the bundle's.")
      .def("process", &process, py::arg("image").noconvert(), py::arg("time_ns"),
           py::arg("boxes").noconvert() = py::none(),
           "Find the persons of a uint8 [H, W, 3] BGR picture.\n\n"
           "boxes, float32 [N, 4] in pixels, replaces the detector. Returns keypoints float32 [N, "
           "K, 3] (x px, y px,\n"
           "score), boxes float32 [N, 5] (x1, y1, x2, y2, score), track ids int64 [N] (-1: not "
           "tracked), depth float32\n"
           "[N, K] or None, and nanoseconds by stage.")
      .def("detect", &detect, py::arg("image").noconvert(),
           "Return all detections, float32 [M, 6]: x1, y1, x2, y2, score, label.")
      .def(
          "verify_golden", &verify_golden,
          "Run the bundle's own picture and report how far the results are from the expected ones.")
      .def(
          "reset",
          [](Pipeline& pipeline) {
            Status status;
            {
              const Unlocked unlocked;  // it waits for a detection that is under way
              status = pipeline.reset();
            }
            check(status);
          },
          "Forget all earlier frames.")
      .def_property_readonly("manifest_json", [](const Pipeline& pipeline) {
        return pipeline.bundle().manifest_text();
      });
}

}  // namespace edgepose::python
