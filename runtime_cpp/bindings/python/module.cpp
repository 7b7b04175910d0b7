#include <pybind11/stl.h>

#include "bindings.h"
#include "edgepose/engine.h"

PYBIND11_MODULE(_core, module) {
  namespace ep = edgepose::python;
  module.doc() = "The EdgePose C++ runtime.";
  module.def(
      "version", [] { return EDGEPOSE_VERSION; }, "Return the version of the library.");
  module.def("available_backends", &edgepose::available_backends,
             "List the engines compiled into this build.");
  ep::bind_errors(module);
  ep::bind_preprocess(module);
  ep::bind_camera(module);
  ep::bind_decode(module);
  ep::bind_engine(module);
  ep::bind_bundle(module);
  ep::bind_pipeline(module);
}
