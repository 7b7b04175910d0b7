#include "edgepose/preprocess.h"

#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "bindings.h"
#include "edgepose/bundle.h"

namespace edgepose::python {

py::tuple preprocessed(const ImageView& view, const std::optional<std::array<float, 4>>& box,
                       const std::string& spec_json) {
  const Preprocess spec = value_or_raise(parse_preprocess(spec_json));
  FloatArray out({py::ssize_t{3}, static_cast<py::ssize_t>(spec.input_height_px),
                  static_cast<py::ssize_t>(spec.input_width_px)});
  BoxXyxy box_src;
  if (box) box_src = {(*box)[0], (*box)[1], (*box)[2], (*box)[3]};
  float* target = out.mutable_data();
  InputTransform transform;
  Status status;
  {
    const Unlocked unlocked;
    status = preprocess(view, box ? &box_src : nullptr, spec, target, &transform);
  }
  check(status);
  return py::make_tuple(out, py::make_tuple(transform.scale_x, transform.scale_y,
                                            transform.offset_x, transform.offset_y));
}

namespace {

py::tuple run_preprocess(const ByteArray& image, const std::optional<std::array<float, 4>>& box,
                         const std::string& spec_json) {
  return preprocessed(image_view(image), box, spec_json);
}

}  // namespace

void bind_preprocess(py::module_& module) {
  module.def("preprocess", &run_preprocess, py::arg("image").noconvert(), py::arg("box"),
             py::arg("spec_json"),
             "Make the network input of a picture or of one box in it.\n\n"
             "image is uint8 [H, W, 3] BGR; box is (x1, y1, x2, y2) in its pixels or None; "
             "spec_json is the JSON of a\n"
             "bundle's \"preprocess\". Returns float32 [3, h, w] and (scale_x, scale_y, offset_x, "
             "offset_y), which\n"
             "map input pixels to source pixels.");
}

}  // namespace edgepose::python
