#ifndef EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_SESSION_H_
#define EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_SESSION_H_

#include <optional>
#include <string>

#include "edgepose/engine.h"
#include "engines/onnxruntime_library.h"

namespace edgepose::ort {

// Where ONNX Runtime computes.
struct Device {
  enum class Kind { kCpu, kCuda, kTensorrt };
  Kind kind = Kind::kCpu;
  std::string index = "0";
};

// "ORT" and "CPU" are the CPU; "CUDA", "CUDA.1", "TENSORRT" and "TENSORRT.1" an NVIDIA GPU; else
// nothing.
std::optional<Device> parse_device(const std::string& name);

// Loads a network for a device. All of it runs there: ONNX Runtime may not move a part to the CPU.
// Errors: kUnsupported where the library lacks the device, kBackendFailure for a file it refuses.
Result<Owned<Session, ReleaseSession>> make_session(const Library& library, const std::string& path,
                                                    const Device& device, int threads,
                                                    const std::string& precision);

// Compares the network's inputs and outputs with the bundle's. Error: kBackendFailure.
Status match_session(const Library& library, const Session* session, const ModelFiles& files,
                     const std::string& path);

}  // namespace edgepose::ort

#endif  // EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_SESSION_H_
