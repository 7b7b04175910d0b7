#include <map>
#include <string>

#include "bindings.h"

namespace edgepose::python {
namespace {

// Set once when the module is imported; the interpreter owns the class.
PyObject* core_error = nullptr;

// Messages can quote paths and damaged files, which need not be UTF-8.
py::object text(const std::string& bytes) {
  PyObject* decoded =
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "backslashreplace");
  if (decoded == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(decoded);
}

}  // namespace

void check(const Status& status) {
  if (status.ok()) return;
  const py::object instance =
      py::reinterpret_borrow<py::object>(core_error)(text(status.message()));
  instance.attr("code") = static_cast<int>(status.code());
  instance.attr("message") = text(status.message());
  instance.attr("hint") = text(status.hint());
  PyErr_SetObject(core_error, instance.ptr());
  throw py::error_already_set();
}

void raise_invalid(const std::string& message, const std::string& hint) {
  check(Status(Code::kInvalidArgument, message, hint));
  throw std::logic_error("unreachable");
}

ImageView image_view(const ByteArray& image) {
  if (image.ndim() != 3 || image.shape(2) != 3) {
    raise_invalid(
        "a picture is a uint8 array [height, width, 3] in BGR order, got " +
        std::to_string(image.ndim()) + " dimensions" +
        (image.ndim() == 3 ? " with " + std::to_string(image.shape(2)) + " channels" : ""));
  }
  constexpr py::ssize_t kMaxSide = 32767;
  if (image.shape(0) > kMaxSide || image.shape(1) > kMaxSide) {
    raise_invalid("a picture of " + std::to_string(image.shape(1)) + "x" +
                      std::to_string(image.shape(0)) + " pixels is too large",
                  "at most 32767 a side are accepted");
  }
  ImageView view;
  view.data = image.data();
  view.height_px = static_cast<int>(image.shape(0));
  view.width_px = static_cast<int>(image.shape(1));
  view.row_stride_bytes = image.shape(1) * 3;
  view.format = PixelFormat::kBgr;
  return view;
}

void bind_errors(py::module_& module) {
  core_error = PyErr_NewExceptionWithDoc("edgepose._core.CoreError",
                                         "A status of the C++ library: code, message and hint.",
                                         nullptr, nullptr);
  if (core_error == nullptr) throw py::error_already_set();
  module.add_object("CoreError", py::reinterpret_borrow<py::object>(core_error));
  module.def(
      "code_table",
      [] {
        py::dict table;
        for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
          table[py::int_(code)] = code_name(static_cast<Code>(code));
        }
        return table;
      },
      "Map every status code to its stable name.");
}

}  // namespace edgepose::python
