#ifndef EDGEPOSE_SRC_ENGINES_ENGINES_H_
#define EDGEPOSE_SRC_ENGINES_ENGINES_H_

#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "edgepose/engine.h"

namespace edgepose {

using EngineResult = Result<std::unique_ptr<InferenceEngine>>;

// One function per backend; registry.cpp lists them. Each refuses a file whose inputs and outputs
// differ from files.inputs and files.outputs, and lets no exception out.
EngineResult make_fake_engine(const ModelFiles& files, const EngineOptions& options);
EngineResult make_ncnn_engine(const ModelFiles& files, const EngineOptions& options);
EngineResult make_openvino_engine(const ModelFiles& files, const EngineOptions& options);
EngineResult make_rknn_engine(const ModelFiles& files, const EngineOptions& options);
EngineResult make_onnxruntime_engine(const ModelFiles& files, const EngineOptions& options);
EngineResult make_tensorrt_engine(const ModelFiles& files, const EngineOptions& options);

// The number of "TENSORRT.1", 0 for "TENSORRT"; nothing where the name is of another kind or its
// number is none of up to three digits.
std::optional<int> device_index(const std::string& name, const std::string& kind);

// Where TensorRT's networks are kept, which take minutes to build; made where it is missing. Empty
// where none of $EDGEPOSE_CACHE, $XDG_CACHE_HOME and $HOME names a place.
std::string tensorrt_cache_folder();

// Devices of ONNX Runtime that no other engine has: ORT, CUDA, CUDA.1, TENSORRT, TENSORRT.1, ...
bool is_onnxruntime_device(const std::string& name);

// Returns the path of the file with this role, or kInvalidArgument.
Result<std::string> path_of(const ModelFiles& files, const std::string& role);

// Checks what every engine demands of run()'s inputs: the declared number, dims and one batch
// in 1..4096 for all.
Status check_inputs(const std::vector<TensorSpec>& specs, Span<const Tensor> in);

// Sizes all outputs for a batch; dims, one entry an output, gets the batch in its first places.
void resize_outputs(int64_t batch, std::vector<std::vector<int64_t>>* dims,
                    std::vector<Tensor>* out);

// How many items of a batch run at once, one a thread; the rest run one after the other, each on
// all threads: the last round of five items on two threads would leave one of them idle.
int64_t items_in_rounds(int64_t batch, int threads);

// "3x256x192" for messages.
std::string dims_text(const std::vector<int64_t>& dims);

// The text in one line, without the source positions that OpenVINO puts before its messages.
std::string one_line(const std::string& text);

// Turns what a backend throws into a status; `what` names the work for the message. Returns what
// body() returns.
template <typename Body>
auto guarded(const char* what, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Status(Code::kBackendFailure, std::string(what) + ": out of memory",
                  "use a smaller network or fewer threads");
  } catch (const std::exception& error) {
    return Status(Code::kBackendFailure, std::string(what) + ": " + one_line(error.what()));
  } catch (...) {
    return Status(Code::kBackendFailure, std::string(what) + ": unknown failure");
  }
}

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_ENGINES_ENGINES_H_
