#include "edgepose/engine.h"

#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.h"

namespace edgepose::python {
namespace {

using SpecTuple = std::tuple<std::string, std::string, std::vector<int64_t>>;

std::vector<TensorSpec> to_specs(const std::vector<SpecTuple>& tuples) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor, dims] : tuples) specs.push_back({name, dims, tensor});
  return specs;
}

std::vector<SpecTuple> to_tuples(const std::vector<TensorSpec>& specs) {
  std::vector<SpecTuple> tuples;
  for (const TensorSpec& spec : specs) tuples.emplace_back(spec.name, spec.tensor, spec.dims);
  return tuples;
}

// An engine serves one caller at a time; the lock makes that true for Python threads.
class PyEngine {
 public:
  PyEngine(const std::string& backend, std::map<std::string, std::string> files,
           const std::vector<SpecTuple>& inputs, const std::vector<SpecTuple>& outputs, int threads,
           const std::string& device, const std::string& precision, int max_batch) {
    const ModelFiles model{std::move(files), to_specs(inputs), to_specs(outputs)};
    EngineOptions options;
    options.threads = threads;
    options.device = device;
    options.precision = precision;
    options.max_batch = max_batch;
    const auto make = [&] {
      const Unlocked unlocked;
      return make_engine(backend, model, options);
    };
    engine_ = value_or_raise(make());
  }

  py::list run(const std::vector<FloatArray>& inputs) {
    std::vector<Tensor> in(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      // The engine reads its inputs only.
      in[i].borrow(const_cast<float*>(inputs[i].data()),
                   std::vector<int64_t>(inputs[i].shape(), inputs[i].shape() + inputs[i].ndim()));
    }
    Status status;
    std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
    {
      const Unlocked unlocked;
      lock.lock();
      status = engine_->run(in, &outputs_);
    }
    check(status);
    py::list results;
    for (const Tensor& tensor : outputs_) {
      FloatArray array(std::vector<py::ssize_t>(tensor.dims().begin(), tensor.dims().end()));
      std::copy(tensor.data(), tensor.data() + tensor.count(), array.mutable_data());
      results.append(std::move(array));
    }
    return results;
  }

  std::vector<SpecTuple> inputs() const { return to_tuples(engine_->inputs()); }
  std::vector<SpecTuple> outputs() const { return to_tuples(engine_->outputs()); }

 private:
  std::mutex mutex_;
  std::unique_ptr<InferenceEngine> engine_;
  std::vector<Tensor> outputs_;
};

}  // namespace

void bind_engine(py::module_& module) {
  py::class_<PyEngine>(module, "Engine", "One loaded network.")
      .def(py::init<const std::string&, std::map<std::string, std::string>,
                    const std::vector<SpecTuple>&, const std::vector<SpecTuple>&, int,
                    const std::string&, const std::string&, int>(),
           py::arg("backend"), py::arg("files"), py::arg("inputs"), py::arg("outputs"),
           py::kw_only(), py::arg("threads"), py::arg("device") = "CPU",
           py::arg("precision") = "fp32", py::arg("max_batch") = 0,
           "Load a network. files maps a role (\"param\", \"bin\", \"xml\", \"onnx\") to a path; "
           "inputs and outputs\n"
           "are (name, tensor in the file, dims) with -1 for any batch.")
      .def("run", &PyEngine::run, py::arg("inputs").noconvert(),
           "Run a batch: float32 arrays in the order of inputs; returns those of outputs.")
      .def_property_readonly("inputs", &PyEngine::inputs)
      .def_property_readonly("outputs", &PyEngine::outputs);
}

}  // namespace edgepose::python
