#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "edgepose/image.h"

namespace edgepose::python {
namespace {

// The planes are one-dimensional arrays, as a camera delivers them.
ImageView camera_view(const std::vector<ByteArray>& planes, int format, int width_px, int height_px,
                      ptrdiff_t row_stride_bytes, ptrdiff_t chroma_row_stride_bytes,
                      ptrdiff_t chroma_pixel_stride_bytes, int colour, int rotation_deg,
                      bool mirrored) {
  if (planes.empty() || planes.size() > 3) raise_invalid("a picture has 1 to 3 planes");
  ImageView view;
  view.format = static_cast<PixelFormat>(format);
  view.width_px = width_px;
  view.height_px = height_px;
  view.row_stride_bytes = row_stride_bytes;
  view.chroma_row_stride_bytes = chroma_row_stride_bytes;
  view.chroma_pixel_stride_bytes = chroma_pixel_stride_bytes;
  view.colour = static_cast<YuvColour>(colour);
  view.rotation_deg = rotation_deg;
  view.mirrored = mirrored;
  const uint8_t** pointers[] = {&view.data, &view.u, &view.v};
  size_t* lengths[] = {&view.data_bytes, &view.u_bytes, &view.v_bytes};
  for (size_t i = 0; i < planes.size(); ++i) {
    if (planes[i].ndim() != 1 || planes[i].size() == 0)
      raise_invalid("a plane is a uint8 array of one dimension that is not empty");
    *pointers[i] = planes[i].data();
    *lengths[i] = static_cast<size_t>(planes[i].size());
  }
  return view;
}

py::tuple run_preprocess(const std::vector<ByteArray>& planes, int format, int width_px,
                         int height_px, ptrdiff_t row_stride_bytes,
                         const std::optional<std::array<float, 4>>& box,
                         const std::string& spec_json, ptrdiff_t chroma_row_stride_bytes,
                         ptrdiff_t chroma_pixel_stride_bytes, int colour, int rotation_deg,
                         bool mirrored) {
  return preprocessed(
      camera_view(planes, format, width_px, height_px, row_stride_bytes, chroma_row_stride_bytes,
                  chroma_pixel_stride_bytes, colour, rotation_deg, mirrored),
      box, spec_json);
}

}  // namespace

void bind_camera(py::module_& module) {
  module.def("preprocess_camera", &run_preprocess, py::arg("planes").noconvert(),
             py::arg("format"), py::arg("width_px"), py::arg("height_px"),
             py::arg("row_stride_bytes"), py::arg("box"), py::arg("spec_json"), py::kw_only(),
             py::arg("chroma_row_stride_bytes") = 0, py::arg("chroma_pixel_stride_bytes") = 0,
             py::arg("colour") = 0, py::arg("rotation_deg") = 0, py::arg("mirrored") = false,
             "Make the network input of a camera frame, as preprocess() does of a picture.\n\n"
             "planes are one-dimensional uint8 arrays; format and colour are the numbers of "
             "PixelFormat and YuvColour in\n"
             "image.h; box is in pixels of the picture after rotation_deg and mirrored.");
}

}  // namespace edgepose::python
