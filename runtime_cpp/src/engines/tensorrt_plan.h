#ifndef EDGEPOSE_SRC_ENGINES_TENSORRT_PLAN_H_
#define EDGEPOSE_SRC_ENGINES_TENSORRT_PLAN_H_

#include <NvInfer.h>

#include <memory>
#include <mutex>
#include <string>

#include "edgepose/engine.h"

namespace edgepose::trt {

// What TensorRT says goes wrong. There is one for the process, as TensorRT wants it.
class Log final : public nvinfer1::ILogger {
 public:
  static Log& instance();

  void log(Severity severity, const char* text) noexcept override;
  // Returns the errors since the last call in one line; "no message" where there are none.
  std::string take();

 private:
  std::mutex mutex_;
  std::string errors_;
};

// A loaded network; the runtime must outlive the engine.
struct Plan {
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
};

// Builds an ONNX file for single items on the GPU `index`, the current one, or takes what was built
// before for the same file, GPU, TensorRT and precision. Errors: kIo, kBackendFailure.
Result<Plan> load_plan(const std::string& path, const ModelFiles& files,
                       const std::string& precision, int index);

}  // namespace edgepose::trt

#endif  // EDGEPOSE_SRC_ENGINES_TENSORRT_PLAN_H_
