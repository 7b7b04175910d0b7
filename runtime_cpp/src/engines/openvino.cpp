#include <algorithm>
#include <map>
#include <memory>
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engines/engines.h"

namespace edgepose {
namespace {

// Never destroyed: at the end of the process OpenVINO's own statics may be gone before it.
ov::Core& core() {
  static ov::Core* const instance = new ov::Core();
  return *instance;
}

// "GPU" and "GPU.0" are one device.
std::string without_first_index(const std::string& device) {
  const size_t end = device.size() >= 2 ? device.size() - 2 : 0;
  return device.compare(end, std::string::npos, ".0") == 0 ? device.substr(0, end) : device;
}

Status check_bfloat16(const std::string& device) {
  if (device != "CPU") {
    return Status(Code::kUnsupported, "bf16 bundles run on the CPU, not on \"" + device + "\"",
                  "convert with --precision fp16");
  }
  const std::vector<std::string> able = core().get_property("CPU", ov::device::capabilities);
  if (std::find(able.begin(), able.end(), "BF16") != able.end()) return {};
  return Status(Code::kUnsupported, "this processor does not compute in bfloat16",
                "it takes AVX512_BF16 or AMX: convert with --precision fp16");
}

// The name of an installed device. Names that leave the choice to OpenVINO, such as AUTO, are
// refused: nothing may run elsewhere unnoticed.
Result<std::string> find_device(const std::string& device, bool is_onnx) {
  if (device == "CPU") return device;  // without a search, which loads every plugin
  std::string names;
  for (const std::string& name : core().get_available_devices()) {
    if (without_first_index(name) == without_first_index(device)) return name;
    names += (names.empty() ? "" : ", ") + name;
  }
  return Status(Code::kUnsupported, "OpenVINO finds no device \"" + device + "\"",
                "it finds: " + names + (is_onnx ? "; other engines have ORT, CUDA, TENSORRT" : ""));
}

// Core::read_model would offer a damaged file to every front end, and some of them print.
std::shared_ptr<ov::Model> read_onnx(const std::string& path) {
  static ov::frontend::FrontEndManager* const manager = new ov::frontend::FrontEndManager();
  const ov::frontend::FrontEnd::Ptr reader = manager->load_by_framework("onnx");
  const ov::frontend::InputModel::Ptr content = reader->load(path);
  if (content == nullptr) throw std::runtime_error("the file is no ONNX network");
  return reader->convert(content);
}

// A model compiled for single items. Each item of a batch has a request of its own, whose tensors
// are parts of the caller's; the requests share the streams.
struct Compiled {
  ov::CompiledModel model;
  std::vector<ov::InferRequest> requests;
  // What the requests are bound to; binding anew allocates, so it is done only when one of these
  // changes.
  std::vector<const float*> bound_in;
  std::vector<const float*> bound_out;
};

class OpenvinoEngine final : public InferenceEngine {
 public:
  OpenvinoEngine(const ModelFiles& files, const EngineOptions& options)
      : files_(files), options_(options) {}

  const std::vector<TensorSpec>& inputs() const override { return files_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return files_.outputs; }

  Status open() {
    if (files_.paths.count("onnx") != 0) {
      model_ = read_onnx(files_.paths.at("onnx"));
    } else {
      EDGEPOSE_ASSIGN_OR_RETURN(const std::string xml, path_of(files_, "xml"));
      EDGEPOSE_ASSIGN_OR_RETURN(const std::string bin, path_of(files_, "bin"));
      model_ = core().read_model(xml, bin);
    }
    EDGEPOSE_RETURN_IF_ERROR(match("input", files_.inputs, model_->inputs()));
    EDGEPOSE_RETURN_IF_ERROR(match("output", files_.outputs, model_->outputs()));
    EDGEPOSE_RETURN_IF_ERROR(fix_batch());
    for (const TensorSpec& spec : files_.outputs) out_dims_.push_back(spec.dims);
    EDGEPOSE_RETURN_IF_ERROR(compile(1, &single_));
    if (options_.max_batch == 1 || options_.threads == 1) return {};
    return compile(options_.threads, &batched_);
  }

  Status run(Span<const Tensor> in, std::vector<Tensor>* out) override {
    return guarded("OpenVINO", [&] { return run_batch(in, out); });
  }

 private:
  Status failure(const std::string& what) const {
    return Status(Code::kBackendFailure, files_.paths.begin()->second + ": " + what,
                  "convert the checkpoint again");
  }

  template <typename Ports>
  Status match(const char* what, const std::vector<TensorSpec>& specs, const Ports& ports) const {
    if (ports.size() != specs.size()) {
      return failure("it has " + std::to_string(ports.size()) + " " + what +
                     "s, the bundle declares " + std::to_string(specs.size()));
    }
    for (const TensorSpec& spec : specs) {
      const auto named = [&spec](const auto& port) {
        return port.get_names().count(spec.tensor) != 0;
      };
      const auto port = std::find_if(ports.begin(), ports.end(), named);
      if (port == ports.end())
        return failure(std::string("it has no ") + what + " \"" + spec.tensor + "\"");
      const ov::PartialShape& shape = port->get_partial_shape();
      bool same = port->get_element_type() == ov::element::f32 && shape.rank().is_static() &&
                  shape.size() == spec.dims.size();
      for (size_t i = 0; same && i < spec.dims.size(); ++i) {
        same =
            shape[i].compatible(spec.dims[i] == -1 ? ov::Dimension() : ov::Dimension(spec.dims[i]));
      }
      if (!same) {
        return failure(std::string(what) + " \"" + spec.tensor + "\" is " +
                       port->get_element_type().to_string() + " " + shape.to_string() +
                       ", the bundle declares " + dims_text(spec.dims));
      }
    }
    return {};
  }

  // Items run one by one, so the batch is fixed to 1: static shapes are faster and are planned
  // once.
  Status fix_batch() {
    std::map<std::string, ov::PartialShape> shapes;
    for (const TensorSpec& spec : files_.inputs) shapes[spec.tensor] = item_shape(spec);
    model_->reshape(shapes);
    for (const TensorSpec& spec : files_.outputs) {
      const ov::PartialShape& have = model_->output(spec.tensor).get_partial_shape();
      if (have.is_dynamic() || have.to_shape() != item_shape(spec)) {
        return failure("output \"" + spec.tensor + "\" is " + have.to_string() +
                       " for one item, the bundle declares " + dims_text(spec.dims));
      }
    }
    return {};
  }

  Status compile(int streams, std::unique_ptr<Compiled>* compiled) {
    ov::AnyMap config;
    config[ov::inference_num_threads.name()] = options_.threads;
    config[ov::num_streams.name()] = ov::streams::Num(streams);
    // Left alone, a CPU with bf16 computes in it. Half-precision weights save space; arithmetic
    // stays exact where the bundle does not ask for another.
    const bool bfloat16 = options_.precision == "bf16";
    const ov::element::Type precision = bfloat16 ? ov::element::bf16 : ov::element::f32;
    config[ov::hint::inference_precision.name()] = precision;
    config[ov::hint::enable_cpu_pinning.name()] = false;
    if (options_.device != "CPU") config.erase(ov::inference_num_threads.name());
    if (options_.device != "CPU") config.erase(ov::hint::enable_cpu_pinning.name());
    auto result = std::make_unique<Compiled>();
    result->model = core().compile_model(model_, options_.device, config);
    for (const std::string& used : result->model.get_property(ov::execution_devices)) {
      if (without_first_index(used) == without_first_index(options_.device)) continue;
      return Status(Code::kUnsupported,
                    files_.paths.begin()->second + ": OpenVINO runs it on \"" + used +
                        "\" in place of \"" + options_.device + "\"",
                    "name the device that shall run it");
    }
    if (bfloat16 && result->model.get_property(ov::hint::inference_precision) != precision) {
      return Status(Code::kUnsupported,
                    files_.paths.begin()->second + ": OpenVINO does not compute it in bfloat16",
                    "convert with --precision fp16");
    }
    grow(1, result.get());
    *compiled = std::move(result);
    return {};
  }

  void grow(size_t count, Compiled* compiled) const {
    while (compiled->requests.size() < count) {
      compiled->requests.push_back(compiled->model.create_infer_request());
      compiled->bound_in.resize(compiled->requests.size() * files_.inputs.size(), nullptr);
      compiled->bound_out.resize(compiled->requests.size() * files_.outputs.size(), nullptr);
    }
  }

  static ov::Shape item_shape(const TensorSpec& spec) {
    ov::Shape shape(spec.dims.begin(), spec.dims.end());
    shape[0] = 1;
    return shape;
  }

  void bind(Compiled* compiled, size_t item, Span<const Tensor> in,
            std::vector<Tensor>* out) const {
    ov::InferRequest& request = compiled->requests[item];
    for (size_t i = 0; i < files_.inputs.size(); ++i) {
      const Tensor& tensor = in[i];
      const float* data =
          tensor.data() + tensor.count() / tensor.dim(0) * static_cast<int64_t>(item);
      const float*& bound = compiled->bound_in[item * files_.inputs.size() + i];
      if (bound == data) continue;
      // OpenVINO has no tensor of constant data; it does not write to inputs.
      request.set_tensor(
          files_.inputs[i].tensor,
          ov::Tensor(ov::element::f32, item_shape(files_.inputs[i]), const_cast<float*>(data)));
      bound = data;
    }
    for (size_t o = 0; o < files_.outputs.size(); ++o) {
      Tensor& tensor = (*out)[o];
      float* data = tensor.data() + tensor.count() / tensor.dim(0) * static_cast<int64_t>(item);
      const float*& bound = compiled->bound_out[item * files_.outputs.size() + o];
      if (bound == data) continue;
      request.set_tensor(files_.outputs[o].tensor,
                         ov::Tensor(ov::element::f32, item_shape(files_.outputs[o]), data));
      bound = data;
    }
  }

  Status run_batch(Span<const Tensor> in, std::vector<Tensor>* out) {
    EDGEPOSE_RETURN_IF_ERROR(check_inputs(files_.inputs, in));
    const size_t batch = static_cast<size_t>(in[0].dim(0));
    resize_outputs(static_cast<int64_t>(batch), &out_dims_, out);
    grow(batch, single_.get());
    size_t in_rounds = 0;
    if (batched_ != nullptr) {
      grow(batch, batched_.get());
      in_rounds = static_cast<size_t>(items_in_rounds(in[0].dim(0), options_.threads));
    }
    for (size_t item = 0; item < in_rounds; ++item) bind(batched_.get(), item, in, out);
    size_t started = 0;
    Status status = guarded("OpenVINO", [&]() -> Status {
      for (; started < in_rounds; ++started) batched_->requests[started].start_async();
      return {};
    });
    // Even after a failure all are waited for: they work in the caller's memory.
    for (size_t item = 0; item < started; ++item) {
      const Status waited = guarded("OpenVINO", [&]() -> Status {
        batched_->requests[item].wait();
        return {};
      });
      if (status.ok()) status = waited;
    }
    EDGEPOSE_RETURN_IF_ERROR(status);
    for (size_t item = in_rounds; item < batch; ++item) {
      bind(single_.get(), item, in, out);
      single_->requests[item].infer();
    }
    return {};
  }

  ModelFiles files_;
  EngineOptions options_;
  std::shared_ptr<ov::Model> model_;
  std::vector<std::vector<int64_t>> out_dims_;
  std::unique_ptr<Compiled> single_;   // one stream: all threads in one item
  std::unique_ptr<Compiled> batched_;  // one stream a thread
};

}  // namespace

EngineResult make_openvino_engine(const ModelFiles& files, const EngineOptions& options) {
  if (files.paths.empty()) return Status(Code::kInvalidArgument, "a network needs files");
  EngineOptions found = options;
  EDGEPOSE_ASSIGN_OR_RETURN(found.device,
                            find_device(options.device, files.paths.count("onnx") != 0));
  if (options.precision == "bf16") EDGEPOSE_RETURN_IF_ERROR(check_bfloat16(found.device));
  auto engine = std::make_unique<OpenvinoEngine>(files, found);
  EDGEPOSE_RETURN_IF_ERROR(engine->open());
  return std::unique_ptr<InferenceEngine>(std::move(engine));
}

}  // namespace edgepose
