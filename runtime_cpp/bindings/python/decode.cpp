#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "edgepose/boxes.h"
#include "edgepose/bundle.h"
#include "edgepose/rtmo.h"
#include "edgepose/simcc.h"

namespace edgepose::python {
namespace {

py::tuple run_decode_simcc(const FloatArray& simcc_x, const FloatArray& simcc_y,
                           const std::optional<FloatArray>& simcc_z, const std::string& head_json,
                           const TransformTuple& transform) {
  const SimccHead head = value_or_raise(parse_simcc_head(head_json));
  const py::ssize_t points = static_cast<py::ssize_t>(head.keypoints.size());
  const auto fits = [points](const FloatArray& rows) {
    return rows.ndim() == 2 && rows.shape(0) == points && rows.shape(1) >= 1;
  };
  if (!fits(simcc_x) || !fits(simcc_y) || (simcc_z && !fits(*simcc_z))) {
    raise_invalid("SimCC rows must be float32 [" + std::to_string(points) +
                  ", bins] for this head");
  }
  if (head.has_z != simcc_z.has_value()) {
    raise_invalid(head.has_z ? "this head is 3-D and needs simcc_z"
                             : "this head is 2-D and takes no simcc_z");
  }
  FloatArray keypoints({points, py::ssize_t{3}});
  FloatArray z(head.has_z ? points : 0);
  static_assert(sizeof(Keypoint) == 3 * sizeof(float), "a row of the array is a Keypoint");
  auto* keypoint_rows = reinterpret_cast<Keypoint*>(keypoints.mutable_data());
  float* z_values = head.has_z ? z.mutable_data() : nullptr;
  const float* x = simcc_x.data();
  const float* y = simcc_y.data();
  const float* depth = simcc_z ? simcc_z->data() : nullptr;
  const int x_bins = static_cast<int>(simcc_x.shape(1));
  const int y_bins = static_cast<int>(simcc_y.shape(1));
  const int z_bins = simcc_z ? static_cast<int>(simcc_z->shape(1)) : 0;
  {
    const Unlocked unlocked;
    decode_simcc(x, x_bins, y, y_bins, depth, z_bins, static_cast<int>(points), head,
                 to_transform(transform), keypoint_rows, z_values);
  }
  const py::object z_or_none = head.has_z ? py::object(z) : py::object(py::none());
  return py::make_tuple(keypoints, z_or_none);
}

// Views of a network's outputs for decoders that read item 0 of each.
std::vector<Tensor> borrowed_outputs(const std::vector<FloatArray>& outputs) {
  std::vector<Tensor> tensors(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::vector<int64_t> dims(outputs[i].shape(), outputs[i].shape() + outputs[i].ndim());
    if (dims.size() != 4 || dims[0] != 1)
      raise_invalid("every output must be float32 [1, C, h, w]");
    // The decoders read their tensors only.
    tensors[i].borrow(const_cast<float*>(outputs[i].data()), dims);
  }
  return tensors;
}

FloatArray run_decode_boxes(const std::vector<FloatArray>& outputs, const std::string& head_json,
                            const std::string& preprocess_json, const TransformTuple& transform,
                            const std::array<int, 2>& image_hw) {
  const BoxHead head = value_or_raise(parse_box_head(head_json));
  const Preprocess spec = value_or_raise(parse_preprocess(preprocess_json));
  const std::vector<Tensor> tensors = borrowed_outputs(outputs);
  BoxScratch scratch;
  std::vector<Detection> detections;
  Status status;
  {
    const Unlocked unlocked;
    status = decode_boxes(tensors, 0, head, spec, to_transform(transform), image_hw[1], image_hw[0],
                          &scratch, &detections);
  }
  check(status);
  return detections_array(detections);
}

py::tuple run_decode_rtmo(const std::vector<FloatArray>& outputs, const std::string& head_json,
                          const std::string& preprocess_json, const TransformTuple& transform,
                          const std::array<int, 2>& image_hw, const std::string& dcc_file) {
  const RtmoHead head = value_or_raise(parse_rtmo_head(head_json));
  const Preprocess spec = value_or_raise(parse_preprocess(preprocess_json));
  const std::unique_ptr<RtmoDecoder> decoder = value_or_raise(RtmoDecoder::open(head, dcc_file));
  const std::vector<Tensor> tensors = borrowed_outputs(outputs);
  std::vector<Detection> persons;
  std::vector<Keypoint> points;
  Status status;
  {
    const Unlocked unlocked;
    status = decoder->decode(tensors, 0, spec, to_transform(transform), image_hw[1], image_hw[0],
                             &persons, &points);
  }
  check(status);
  static_assert(sizeof(Keypoint) == 3 * sizeof(float), "a row of the array is a Keypoint");
  const auto people = static_cast<py::ssize_t>(persons.size());
  FloatArray keypoints({people, static_cast<py::ssize_t>(head.keypoints.size()), py::ssize_t{3}});
  std::copy(points.begin(), points.end(), reinterpret_cast<Keypoint*>(keypoints.mutable_data()));
  return py::make_tuple(detections_array(persons), keypoints);
}

py::array_t<int64_t> run_nms(const FloatArray& boxes, const FloatArray& scores,
                             const IntArray& labels, float iou_threshold, int max_detections) {
  if (boxes.ndim() != 2 || boxes.shape(1) != 4 || scores.ndim() != 1 || labels.ndim() != 1 ||
      scores.shape(0) != boxes.shape(0) || labels.shape(0) != boxes.shape(0)) {
    raise_invalid("boxes must be [M, 4], scores and labels [M]");
  }
  if (max_detections < 0) raise_invalid("max_detections is " + std::to_string(max_detections));
  const size_t count = static_cast<size_t>(boxes.shape(0));
  std::vector<Detection> detections(count);
  for (size_t i = 0; i < count; ++i) {
    const float* box = boxes.data() + 4 * i;
    detections[i] = {{box[0], box[1], box[2], box[3]}, scores.data()[i], labels.data()[i]};
  }
  std::vector<int> kept;
  {
    const Unlocked unlocked;
    nms_indices(detections, iou_threshold, max_detections, &kept);
  }
  py::array_t<int64_t> result(static_cast<py::ssize_t>(kept.size()));
  std::copy(kept.begin(), kept.end(), result.mutable_data());
  return result;
}

}  // namespace

FloatArray detections_array(const std::vector<Detection>& detections) {
  FloatArray rows({static_cast<py::ssize_t>(detections.size()), py::ssize_t{6}});
  float* row = rows.mutable_data();
  for (const Detection& d : detections) {
    const float values[] = {d.box.x1, d.box.y1, d.box.x2,
                            d.box.y2, d.score,  static_cast<float>(d.label)};
    row = std::copy(std::begin(values), std::end(values), row);
  }
  return rows;
}

void bind_decode(py::module_& module) {
  module.def(
      "decode_simcc", &run_decode_simcc, py::arg("simcc_x").noconvert(),
      py::arg("simcc_y").noconvert(), py::arg("simcc_z").noconvert(), py::arg("head_json"),
      py::arg("transform"),
      "Decode one person: float32 [K, 3] (x px, y px, score) and float32 [K] depth or None.");
  module.def("decode_boxes", &run_decode_boxes, py::arg("outputs").noconvert(),
             py::arg("head_json"), py::arg("preprocess_json"), py::arg("transform"),
             py::arg("image_hw"),
             "Decode RTMDet maps [1, C, h, w] to float32 [M, 6] (x1, y1, x2, y2, score, label) in "
             "source pixels.");
  module.def("decode_rtmo", &run_decode_rtmo, py::arg("outputs").noconvert(), py::arg("head_json"),
             py::arg("preprocess_json"), py::arg("transform"), py::arg("image_hw"),
             py::arg("dcc_file"),
             "Decode RTMO maps [1, C, h, w] to float32 [M, 6] (x1, y1, x2, y2, score, label) and "
             "float32 [M, K, 3] "
             "(x px, y px, visibility) in source pixels.");
  module.def("nms", &run_nms, py::arg("boxes").noconvert(), py::arg("scores").noconvert(),
             py::arg("labels").noconvert(), py::arg("iou_threshold"), py::arg("max_detections"),
             "Return the indices kept by class-wise suppression, best score first.");
}

}  // namespace edgepose::python
