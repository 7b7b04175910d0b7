#ifndef EDGEPOSE_ENGINE_H_
#define EDGEPOSE_ENGINE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edgepose/span.h"
#include "edgepose/status.h"
#include "edgepose/tensor.h"

namespace edgepose {

// The files of one network, by role ("param" and "bin", "xml" and "bin", "onnx"), as absolute
// paths, and the inputs and outputs that the bundle declares; the engine refuses a file that has
// others.
struct ModelFiles {
  std::map<std::string, std::string> paths;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// Working memory of engines of one backend that run by turns, never two at a time. The first that
// can share it fills it in.
struct EngineScratch {
  std::shared_ptr<void> memory;
};

struct EngineOptions {
  int threads = 1;
  // 1: run() gets single items only, and all threads serve that one. 0: any number; the items share
  // the threads.
  int max_batch = 0;
  std::string device = "CPU";
  // "fp32": exact arithmetic for parity. "fp16": half-precision weights, and arithmetic where the
  // backend has it (ncnn on ARM). "bf16": OpenVINO's bfloat16, refused where the CPU has none.
  std::string precision = "fp32";
  // None: the engine has its own.
  std::shared_ptr<EngineScratch> scratch;
};

// One loaded network. An instance serves one caller at a time.
class InferenceEngine {
 public:
  virtual ~InferenceEngine() = default;
  virtual const std::vector<TensorSpec>& inputs() const = 0;
  virtual const std::vector<TensorSpec>& outputs() const = 0;
  // Runs a batch of dims()[0] items, the same for every input. *out is resized to outputs(); its
  // tensors may borrow memory of the engine that stays valid until the next run.
  virtual Status run(Span<const Tensor> in, std::vector<Tensor>* out) = 0;
};

// Names of the backends compiled into this library, for example {"fake", "ncnn", "openvino",
// "onnx"}.
const std::vector<std::string>& available_backends();

Result<std::unique_ptr<InferenceEngine>> make_engine(const std::string& backend,
                                                     const ModelFiles& files,
                                                     const EngineOptions& options);

}  // namespace edgepose

#endif  // EDGEPOSE_ENGINE_H_
