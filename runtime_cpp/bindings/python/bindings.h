#ifndef EDGEPOSE_BINDINGS_PYTHON_BINDINGS_H_
#define EDGEPOSE_BINDINGS_PYTHON_BINDINGS_H_

#include <pybind11/numpy.h>
#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edgepose/image.h"
#include "edgepose/preprocess.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose::python {

namespace py = pybind11;

// Without forcecast, and bound with noconvert(): an array of another type is refused, never
// rounded.
using ByteArray = py::array_t<uint8_t, py::array::c_style>;
using FloatArray = py::array_t<float, py::array::c_style>;
using IntArray = py::array_t<int32_t, py::array::c_style>;
using TransformTuple = std::tuple<float, float, float, float>;

// Lets other Python threads run while it lives. Python before 3.14 ends a daemon thread that comes
// back after the interpreter has shut down by unwinding its stack, which would meet destructors
// here and end the whole process with std::terminate: such a thread waits for the end instead, as
// it does from Python 3.14 on.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() {
#ifdef __GLIBCXX__
    try {
      PyEval_RestoreThread(state_);
    } catch (const abi::__forced_unwind&) {
      for (;;) pause();
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }

 private:
  PyThreadState* state_;
};

// Raises CoreError for a status that is not ok.
void check(const Status& status);

template <typename T>
T value_or_raise(Result<T> result) {
  check(result.status());
  return std::move(result).value();
}

// Raises CoreError (invalid_argument) with this message.
[[noreturn]] void raise_invalid(const std::string& message, const std::string& hint = {});

// The picture behind an array [H, W, 3] in BGR order.
ImageView image_view(const ByteArray& image);

// [N, 6]: x1, y1, x2, y2, score, label.
FloatArray detections_array(const std::vector<Detection>& detections);

// (float32 [3, h, w], (scale_x, scale_y, offset_x, offset_y)): the network input of a picture or of
// one box in it, by the JSON of a "preprocess" member.
py::tuple preprocessed(const ImageView& view, const std::optional<std::array<float, 4>>& box,
                       const std::string& spec_json);

inline InputTransform to_transform(const TransformTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t)};
}

// One per binding file.
void bind_errors(py::module_& module);
void bind_preprocess(py::module_& module);
void bind_camera(py::module_& module);
void bind_decode(py::module_& module);
void bind_engine(py::module_& module);
void bind_bundle(py::module_& module);
void bind_pipeline(py::module_& module);

}  // namespace edgepose::python

#endif  // EDGEPOSE_BINDINGS_PYTHON_BINDINGS_H_
