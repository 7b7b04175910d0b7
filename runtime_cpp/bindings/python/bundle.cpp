#include "edgepose/bundle.h"

#include <memory>
#include <string>

#include "bindings.h"

namespace edgepose::python {

void bind_bundle(py::module_& module) {
  py::class_<Bundle>(module, "Bundle", "A verified bundle folder.")
      .def_static(
          "open",
          [](const std::string& path) {
            const auto open = [&path] {
              const Unlocked unlocked;
              return Bundle::open(path);
            };
            return value_or_raise(open());
          },
          py::arg("path"), "Open a bundle and verify its manifest and every file.")
      .def_property_readonly("manifest_json", &Bundle::manifest_text)
      .def_property_readonly("digest", &Bundle::digest)
      .def_property_readonly("path", &Bundle::path);
}

}  // namespace edgepose::python
