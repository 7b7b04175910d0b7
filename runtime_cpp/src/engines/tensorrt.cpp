#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engines/engines.h"
#include "engines/tensorrt_plan.h"

namespace edgepose {
namespace {

Status check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  return Status(Code::kBackendFailure,
                std::string("CUDA cannot ") + what + ": " + cudaGetErrorString(error));
}

struct FreeOnGpu {
  void operator()(void* memory) const { cudaFree(memory); }
};

struct EndStream {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};

// The items of a batch run one after the other, in one queue: an item does not depend on its
// neighbours, and TensorRT builds one network only.
class TensorrtEngine final : public InferenceEngine {
 public:
  TensorrtEngine(const ModelFiles& files, int index) : files_(files), index_(index) {}

  const std::vector<TensorSpec>& inputs() const override { return files_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return files_.outputs; }

  Status open(const std::string& precision) {
    EDGEPOSE_RETURN_IF_ERROR(choose_gpu());
    EDGEPOSE_ASSIGN_OR_RETURN(path_, path_of(files_, "onnx"));
    EDGEPOSE_ASSIGN_OR_RETURN(plan_, trt::load_plan(path_, files_, precision, index_));
    const auto ports = static_cast<size_t>(plan_.engine->getNbIOTensors());
    if (ports != files_.inputs.size() + files_.outputs.size()) {
      return other("has " + std::to_string(ports) + " inputs and outputs");
    }
    context_.reset(plan_.engine->createExecutionContext());
    if (context_ == nullptr) {
      return Status(Code::kBackendFailure,
                    path_ + ": TensorRT cannot run it: " + trt::Log::instance().take());
    }
    cudaStream_t stream = nullptr;
    EDGEPOSE_RETURN_IF_ERROR(
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a queue"));
    stream_.reset(stream);
    for (const TensorSpec& spec : files_.inputs) {
      EDGEPOSE_RETURN_IF_ERROR(add(spec, nvinfer1::TensorIOMode::kINPUT));
    }
    for (const TensorSpec& spec : files_.outputs) {
      EDGEPOSE_RETURN_IF_ERROR(add(spec, nvinfer1::TensorIOMode::kOUTPUT));
      out_dims_.push_back(spec.dims);
    }
    return {};
  }

  Status run(Span<const Tensor> in, std::vector<Tensor>* out) override {
    return guarded("TensorRT", [&] { return run_batch(in, out); });
  }

 private:
  struct Port {
    std::unique_ptr<void, FreeOnGpu> memory;  // of one item
    size_t count = 1;                         // numbers in it
    size_t bytes() const { return count * sizeof(float); }
  };

  Status choose_gpu() const {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
      return Status(Code::kUnsupported,
                    std::string("CUDA finds no GPU: ") +
                        (error != cudaSuccess ? cudaGetErrorString(error) : "there are none"),
                    "--device ORT or CPU runs the same file on the processor");
    }
    if (index_ >= count) {
      return Status(Code::kUnsupported, "there is no GPU " + std::to_string(index_) +
                                            ", CUDA has " + std::to_string(count));
    }
    return check(cudaSetDevice(index_), "use the GPU");
  }

  Status other(const std::string& what) const {
    return Status(Code::kBackendFailure,
                  path_ + ": the network " + what + ", the bundle declares others",
                  "convert the checkpoint again");
  }

  // Compares a tensor with the bundle's and gives it memory.
  Status add(const TensorSpec& spec, nvinfer1::TensorIOMode mode) {
    const char* const name = spec.tensor.c_str();
    const bool input = mode == nvinfer1::TensorIOMode::kINPUT;
    if (plan_.engine->getTensorIOMode(name) != mode) {
      return other(std::string("has no ") + (input ? "input " : "output ") + spec.tensor);
    }
    if (plan_.engine->getTensorDataType(name) != nvinfer1::DataType::kFLOAT) {
      return other("has no float32 in " + spec.tensor);
    }
    nvinfer1::Dims dims = plan_.engine->getTensorShape(name);
    if (input && fits(dims, spec, true)) {
      for (size_t i = 0; i < spec.dims.size(); ++i) dims.d[i] = i == 0 ? 1 : spec.dims[i];
      if (!context_->setInputShape(name, dims)) {
        return other("refuses " + dims_text(spec.dims) + " as " + spec.tensor);
      }
    } else if (!input) {
      dims = context_->getTensorShape(name);  // known once the inputs' are
    }
    if (!fits(dims, spec, false)) {
      std::vector<int64_t> have(dims.d, dims.d + (dims.nbDims > 0 ? dims.nbDims : 0));
      return other("gives " + dims_text(have) + " as " + spec.tensor);
    }
    Port port;
    for (size_t i = 1; i < spec.dims.size(); ++i) port.count *= static_cast<size_t>(spec.dims[i]);
    void* memory = nullptr;
    EDGEPOSE_RETURN_IF_ERROR(check(cudaMalloc(&memory, port.bytes()), "get memory"));
    port.memory.reset(memory);
    if (!context_->setTensorAddress(name, memory))
      return other("refuses memory for " + spec.tensor);
    ports_.push_back(std::move(port));
    return {};
  }

  // open: a size that the network leaves open (-1) fits, too.
  static bool fits(const nvinfer1::Dims& dims, const TensorSpec& spec, bool open) {
    bool same = dims.nbDims == static_cast<int32_t>(spec.dims.size());
    for (size_t i = 0; same && i < spec.dims.size(); ++i) {
      const int64_t want = i == 0 ? 1 : spec.dims[i];
      same = dims.d[i] == want || (open && dims.d[i] == -1);
    }
    return same;
  }

  Status run_batch(Span<const Tensor> in, std::vector<Tensor>* out) {
    EDGEPOSE_RETURN_IF_ERROR(check_inputs(files_.inputs, in));
    const int64_t batch = in[0].dim(0);
    resize_outputs(batch, &out_dims_, out);
    EDGEPOSE_RETURN_IF_ERROR(
        check(cudaSetDevice(index_), "use the GPU"));  // each thread has its own
    Status status;
    for (int64_t item = 0; item < batch && status.ok(); ++item) {
      status = enqueue(in, out, static_cast<size_t>(item));
    }
    // What was queued uses the caller's memory, also where something went wrong.
    const Status done = check(cudaStreamSynchronize(stream_.get()), "finish the network");
    return status.ok() ? done : status;
  }

  Status enqueue(Span<const Tensor> in, std::vector<Tensor>* out, size_t item) {
    for (size_t i = 0; i < in.size(); ++i) {
      const Port& port = ports_[i];
      EDGEPOSE_RETURN_IF_ERROR(
          check(cudaMemcpyAsync(port.memory.get(), in[i].data() + item * port.count, port.bytes(),
                                cudaMemcpyHostToDevice, stream_.get()),
                "copy an input"));
    }
    if (!context_->enqueueV3(stream_.get())) {
      return Status(Code::kBackendFailure,
                    path_ + ": TensorRT cannot run it: " + trt::Log::instance().take());
    }
    for (size_t o = 0; o < out->size(); ++o) {
      const Port& port = ports_[in.size() + o];
      EDGEPOSE_RETURN_IF_ERROR(
          check(cudaMemcpyAsync((*out)[o].data() + item * port.count, port.memory.get(),
                                port.bytes(), cudaMemcpyDeviceToHost, stream_.get()),
                "copy an output"));
    }
    return {};
  }

  ModelFiles files_;
  int index_;
  std::string path_;
  trt::Plan plan_;
  std::vector<Port> ports_;  // inputs, then outputs
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  std::unique_ptr<CUstream_st, EndStream> stream_;
  std::vector<std::vector<int64_t>> out_dims_;
};

}  // namespace

EngineResult make_tensorrt_engine(const ModelFiles& files, const EngineOptions& options) {
  const std::optional<int> index = device_index(options.device, "TENSORRT");
  if (!index.has_value()) {
    return Status(Code::kUnsupported, "TensorRT has no device \"" + options.device + "\"",
                  "use TENSORRT, for a second GPU TENSORRT.1");
  }
  auto engine = std::make_unique<TensorrtEngine>(files, *index);
  EDGEPOSE_RETURN_IF_ERROR(engine->open(options.precision));
  return std::unique_ptr<InferenceEngine>(std::move(engine));
}

}  // namespace edgepose
