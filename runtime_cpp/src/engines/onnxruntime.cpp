#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engines/engines.h"
#include "engines/onnxruntime_session.h"
#include "worker_pool.h"

namespace edgepose {
namespace {

// On the CPU and with TensorRT the items of a batch run one by one, so that an item does not depend
// on its neighbours and TensorRT builds one network only. CUDA takes a batch at once.
class OnnxruntimeEngine final : public InferenceEngine {
 public:
  OnnxruntimeEngine(const ModelFiles& files, const EngineOptions& options,
                    const ort::Device& device, const ort::Library* library)
      : files_(files), options_(options), device_(device), library_(library) {}

  const std::vector<TensorSpec>& inputs() const override { return files_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return files_.outputs; }

  Status open() {
    EDGEPOSE_ASSIGN_OR_RETURN(path_, path_of(files_, "onnx"));
    EDGEPOSE_ASSIGN_OR_RETURN(single_, load(options_.threads));
    EDGEPOSE_RETURN_IF_ERROR(ort::match_session(*library_, single_.get(), files_, path_));
    for (const TensorSpec& spec : files_.inputs) in_names_.push_back(spec.tensor.c_str());
    for (const TensorSpec& spec : files_.outputs) {
      out_names_.push_back(spec.tensor.c_str());
      out_dims_.push_back(spec.dims);
    }
    if (device_.kind == ort::Device::Kind::kCpu && options_.max_batch != 1 &&
        options_.threads > 1) {
      EDGEPOSE_ASSIGN_OR_RETURN(batched_, load(1));
      pool_ = std::make_unique<WorkerPool>(options_.threads);
    }
    return try_once();
  }

  Status run(Span<const Tensor> in, std::vector<Tensor>* out) override {
    return guarded("ONNX Runtime", [&] { return run_batch(in, out); });
  }

 private:
  Result<ort::Owned<ort::Session, ort::ReleaseSession>> load(int threads) const {
    return ort::make_session(*library_, path_, device_, threads, options_.precision);
  }

  // Sizes that the file leaves open show here, and a GPU's work of the first run is done.
  Status try_once() {
    std::vector<Tensor> in(files_.inputs.size());
    for (size_t i = 0; i < in.size(); ++i) {
      std::vector<int64_t> dims = files_.inputs[i].dims;
      dims[0] = 1;
      in[i].resize(dims);
      std::fill(in[i].data(), in[i].data() + in[i].count(), 0.0F);
    }
    std::vector<Tensor> out;
    return run(in, &out);
  }

  Status run_batch(Span<const Tensor> in, std::vector<Tensor>* out) {
    EDGEPOSE_RETURN_IF_ERROR(check_inputs(files_.inputs, in));
    const int64_t batch = in[0].dim(0);
    resize_outputs(batch, &out_dims_, out);
    if (bindings_.size() < static_cast<size_t>(batch)) bindings_.resize(static_cast<size_t>(batch));
    if (device_.kind == ort::Device::Kind::kCuda) return run_items(single_, in, out, 0, batch);
    const int64_t in_rounds = pool_ != nullptr ? items_in_rounds(batch, options_.threads) : 0;
    EDGEPOSE_RETURN_IF_ERROR(run_rounds(in, out, static_cast<int>(in_rounds)));
    for (int64_t item = in_rounds; item < batch; ++item) {
      EDGEPOSE_RETURN_IF_ERROR(run_items(single_, in, out, item, 1));
    }
    return {};
  }

  // The first `count` items, one a thread.
  Status run_rounds(Span<const Tensor> in, std::vector<Tensor>* out, int count) {
    if (count == 0) return {};
    statuses_.resize(static_cast<size_t>(count));
    struct Context {
      OnnxruntimeEngine* engine;
      Span<const Tensor> in;
      std::vector<Tensor>* out;
    } context{this, in, out};
    pool_->run(
        count,
        [](void* opaque, int, int item) {
          const Context& c = *static_cast<const Context*>(opaque);
          c.engine->statuses_[static_cast<size_t>(item)] = guarded("ONNX Runtime", [&] {
            return c.engine->run_items(c.engine->batched_, c.in, c.out, item, 1);
          });
        },
        &context);
    for (int item = 0; item < count; ++item) {
      EDGEPOSE_RETURN_IF_ERROR(statuses_[static_cast<size_t>(item)]);
    }
    return {};
  }

  // What ONNX Runtime sees of the items that run together: tensors over the caller's memory, made
  // anew only when that is elsewhere or another number of items.
  struct Binding {
    std::vector<ort::Owned<ort::Value, ort::ReleaseValue>> values;  // of inputs, then of outputs
    std::vector<ort::Value*> in;
    std::vector<ort::Value*> out;
    std::vector<const float*> data;
    int64_t count = 0;
  };

  // Binds value `index` to the items `first` to first + count - 1 of a tensor.
  Status bind(const TensorSpec& spec, float* data, int64_t first, int64_t count, size_t index,
              Binding* binding, ort::Value** bare) const {
    int64_t item = 1;
    for (size_t i = 1; i < spec.dims.size(); ++i) item *= spec.dims[i];
    data += first * item;
    if (binding->data[index] == data) return {};
    std::vector<int64_t> dims = spec.dims;
    dims[0] = count;
    ort::Value* value = nullptr;
    EDGEPOSE_RETURN_IF_ERROR(library_->check(
        ort::CreateTensor::of(library_->api)(library_->memory, data,
                                             static_cast<size_t>(count * item) * sizeof(float),
                                             dims.data(), dims.size(), ort::kFloat32, &value),
        path_));
    binding->values[index] = ort::own<ort::ReleaseValue>(*library_, value);
    binding->data[index] = data;
    *bare = value;
    return {};
  }

  Status run_items(const ort::Owned<ort::Session, ort::ReleaseSession>& session,
                   Span<const Tensor> in, std::vector<Tensor>* out, int64_t first, int64_t count) {
    Binding& binding = bindings_[static_cast<size_t>(first)];
    binding.values.resize(in.size() + out->size());
    if (binding.count != count) binding.data.assign(in.size() + out->size(), nullptr);
    binding.count = count;
    binding.in.resize(in.size());
    binding.out.resize(out->size());
    for (size_t i = 0; i < in.size(); ++i) {
      // The API has no tensor of constant data; it does not write to inputs.
      EDGEPOSE_RETURN_IF_ERROR(bind(files_.inputs[i], const_cast<float*>(in[i].data()), first,
                                    count, i, &binding, &binding.in[i]));
    }
    for (size_t o = 0; o < out->size(); ++o) {
      EDGEPOSE_RETURN_IF_ERROR(bind(files_.outputs[o], (*out)[o].data(), first, count,
                                    in.size() + o, &binding, &binding.out[o]));
    }
    return library_->check(
        ort::Run::of(library_->api)(session.get(), nullptr, in_names_.data(), binding.in.data(),
                                    binding.in.size(), out_names_.data(), binding.out.size(),
                                    binding.out.data()),
        path_);
  }

  ModelFiles files_;
  EngineOptions options_;
  ort::Device device_;
  const ort::Library* library_;
  std::string path_;
  ort::Owned<ort::Session, ort::ReleaseSession> single_;   // all threads in one item
  ort::Owned<ort::Session, ort::ReleaseSession> batched_;  // one thread; the pool's share it
  std::unique_ptr<WorkerPool> pool_;
  std::vector<const char*> in_names_;
  std::vector<const char*> out_names_;
  std::vector<std::vector<int64_t>> out_dims_;
  std::vector<Binding> bindings_;  // by the first item
  std::vector<Status> statuses_;
};

}  // namespace

bool is_onnxruntime_device(const std::string& name) {
  return name != "CPU" && ort::parse_device(name).has_value();
}

EngineResult make_onnxruntime_engine(const ModelFiles& files, const EngineOptions& options) {
  const auto device = ort::parse_device(options.device);
  if (!device.has_value()) {
    return Status(Code::kUnsupported, "ONNX Runtime has no device \"" + options.device + "\"",
                  "use CPU, CUDA or TENSORRT, for a second GPU CUDA.1");
  }
  EDGEPOSE_ASSIGN_OR_RETURN(const ort::Library* const library, ort::load_library());
  auto engine = std::make_unique<OnnxruntimeEngine>(files, options, *device, library);
  EDGEPOSE_RETURN_IF_ERROR(engine->open());
  return std::unique_ptr<InferenceEngine>(std::move(engine));
}

}  // namespace edgepose
