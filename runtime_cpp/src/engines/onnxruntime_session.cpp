#include "engines/onnxruntime_session.h"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "edgepose/sha256.h"
#include "engines/engines.h"

namespace edgepose::ort {
namespace {

// Sets a GPU's options by name and hands them to the session.
template <typename Create, typename Update, typename Release, typename Append>
Status append_gpu(const Library& library, SessionOptions* session, const char* name,
                  const std::vector<std::pair<const char*, std::string>>& wanted) {
  ProviderOptions* made = nullptr;
  const Status created =
      library.check(Create::of(library.api)(&made), library.path + " has no " + name);
  if (!created.ok()) {
    return Status(Code::kUnsupported, created.message(),
                  "on the device: an ONNX Runtime for GPUs, such as pip install onnxruntime-gpu");
  }
  const auto options = own<Release>(library, made);
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : wanted) {
    keys.push_back(key);
    values.push_back(value.c_str());
  }
  EDGEPOSE_RETURN_IF_ERROR(library.check(
      Update::of(library.api)(options.get(), keys.data(), values.data(), keys.size()), name));
  const Status added = library.check(Append::of(library.api)(session, options.get()), name);
  return added.ok() ? added : Status(Code::kUnsupported, added.message());
}

Status append_cuda(const Library& library, SessionOptions* session, const Device& device,
                   const std::string& precision) {
  std::vector<std::pair<const char*, std::string>> wanted = {{"device_id", device.index}};
  // Else float32 is multiplied with ten bits of mantissa from Ampere on. Older versions lack the
  // option.
  if (precision != "fp16" && library.is_at_least(18)) wanted.emplace_back("use_tf32", "0");
  return append_gpu<CreateCudaOptions, UpdateCudaOptions, ReleaseCudaOptions, AppendCuda>(
      library, session, "CUDA", wanted);
}

// Where ONNX Runtime keeps what TensorRT built of a network; empty where there is no place. A folder
// for each content: ONNX Runtime names its files by the names in the network, never by the weights.
std::string kept_engines(const std::string& path) {
  const std::string cache = tensorrt_cache_folder();
  if (cache.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  std::vector<char> piece(size_t{1} << 20);
  Sha256 hash;
  do {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    hash.update(piece.data(), static_cast<size_t>(file.gcount()));
  } while (file);
  if (!file.eof()) return {};
  const std::string folder = cache + "/" + hash.hex_digest();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::string() : folder;
}

Status append_tensorrt(const Library& library, SessionOptions* session, const Device& device,
                       const std::string& precision, const std::string& path) {
  std::vector<std::pair<const char*, std::string>> wanted = {
      {"device_id", device.index}, {"trt_fp16_enable", precision == "fp16" ? "1" : "0"}};
  const std::string kept = kept_engines(path);
  if (!kept.empty()) {
    wanted.emplace_back("trt_engine_cache_enable", "1");
    wanted.emplace_back("trt_engine_cache_path", kept);
  }
  return append_gpu<CreateTensorrtOptions, UpdateTensorrtOptions, ReleaseTensorrtOptions,
                    AppendTensorrt>(library, session, "TensorRT", wanted);
}

// One input or output of the file.
struct Port {
  std::string name;
  int type = 0;
  std::vector<int64_t> dims;  // -1: any
};

template <typename Count, typename Name, typename Type>
Status read_ports(const Library& library, const Session* session, std::vector<Port>* ports) {
  const Api* const api = library.api;
  size_t count = 0;
  Allocator* allocator = nullptr;
  EDGEPOSE_RETURN_IF_ERROR(library.check(Count::of(api)(session, &count), library.path));
  EDGEPOSE_RETURN_IF_ERROR(library.check(DefaultAllocator::of(api)(&allocator), library.path));
  for (size_t i = 0; i < count; ++i) {
    Port port;
    char* name = nullptr;
    EDGEPOSE_RETURN_IF_ERROR(
        library.check(Name::of(api)(session, i, allocator, &name), library.path));
    port.name = name;
    EDGEPOSE_RETURN_IF_ERROR(library.check(AllocatorFree::of(api)(allocator, name), library.path));
    TypeInfo* made = nullptr;
    EDGEPOSE_RETURN_IF_ERROR(library.check(Type::of(api)(session, i, &made), library.path));
    const auto type = own<ReleaseTypeInfo>(library, made);
    const TensorInfo* info = nullptr;
    EDGEPOSE_RETURN_IF_ERROR(library.check(AsTensorInfo::of(api)(type.get(), &info), library.path));
    if (info != nullptr) {  // null: a sequence or a map
      size_t rank = 0;
      EDGEPOSE_RETURN_IF_ERROR(library.check(ElementType::of(api)(info, &port.type), library.path));
      EDGEPOSE_RETURN_IF_ERROR(library.check(DimsCount::of(api)(info, &rank), library.path));
      port.dims.resize(rank);
      EDGEPOSE_RETURN_IF_ERROR(
          library.check(Dims::of(api)(info, port.dims.data(), rank), library.path));
    }
    ports->push_back(std::move(port));
  }
  return {};
}

Status match_ports(const char* what, const std::vector<TensorSpec>& specs,
                   const std::vector<Port>& ports, const std::string& path) {
  const auto failure = [&path](const std::string& text) {
    return Status(Code::kBackendFailure, path + ": " + text, "convert the checkpoint again");
  };
  if (ports.size() != specs.size()) {
    return failure("it has " + std::to_string(ports.size()) + " " + what +
                   "s, the bundle declares " + std::to_string(specs.size()));
  }
  for (const TensorSpec& spec : specs) {
    const Port* found = nullptr;
    for (const Port& port : ports) found = port.name == spec.tensor ? &port : found;
    if (found == nullptr) return failure(std::string("it has no ") + what + " " + spec.tensor);
    bool same = found->type == kFloat32 && found->dims.size() == spec.dims.size();
    for (size_t i = 0; same && i < spec.dims.size(); ++i) {
      // A batch of any size takes one item, and every other size may be left open.
      const int64_t want = spec.dims[i];
      same = found->dims[i] < 0 || found->dims[i] == want;
    }
    if (!same) {
      return failure(std::string(what) + " " + spec.tensor + " is " + dims_text(found->dims) +
                     (found->type == kFloat32 ? "" : " and not float32") +
                     ", the bundle declares " + dims_text(spec.dims));
    }
  }
  return {};
}

}  // namespace

std::optional<Device> parse_device(const std::string& name) {
  if (name == "CPU" || name == "ORT") return Device{};
  if (const std::optional<int> index = device_index(name, "CUDA")) {
    return Device{Device::Kind::kCuda, std::to_string(*index)};
  }
  if (const std::optional<int> index = device_index(name, "TENSORRT")) {
    return Device{Device::Kind::kTensorrt, std::to_string(*index)};
  }
  return std::nullopt;
}

Result<Owned<Session, ReleaseSession>> make_session(const Library& library, const std::string& path,
                                                    const Device& device, int threads,
                                                    const std::string& precision) {
  const Api* const api = library.api;
  // Older ones keep the entry below that forbids the CPU, and pay no attention to it.
  if (device.kind != Device::Kind::kCpu && !library.is_at_least(16)) {
    return Status(Code::kUnsupported,
                  library.path + " is ONNX Runtime " + library.version +
                      "; on a GPU 1.16 is the oldest that moves nothing to the CPU unnoticed",
                  "install a newer one, such as pip install --upgrade onnxruntime-gpu");
  }
  SessionOptions* made = nullptr;
  EDGEPOSE_RETURN_IF_ERROR(library.check(CreateSessionOptions::of(api)(&made), library.path));
  const auto options = own<ReleaseSessionOptions>(library, made);
  EDGEPOSE_RETURN_IF_ERROR(
      library.check(SetOptimisation::of(api)(options.get(), kOptimiseAll), library.path));
  EDGEPOSE_RETURN_IF_ERROR(
      library.check(SetIntraOpThreads::of(api)(options.get(), threads), library.path));
  EDGEPOSE_RETURN_IF_ERROR(
      library.check(SetInterOpThreads::of(api)(options.get(), 1), library.path));
  if (device.kind != Device::Kind::kCpu) {
    EDGEPOSE_RETURN_IF_ERROR(library.check(
        AddConfigEntry::of(api)(options.get(), "session.disable_cpu_ep_fallback", "1"),
        library.path));
  }
  // TensorRT leaves what it does not know to CUDA: the same GPU.
  if (device.kind == Device::Kind::kTensorrt) {
    EDGEPOSE_RETURN_IF_ERROR(append_tensorrt(library, options.get(), device, precision, path));
  }
  if (device.kind != Device::Kind::kCpu) {
    EDGEPOSE_RETURN_IF_ERROR(append_cuda(library, options.get(), device, precision));
  }
  Session* session = nullptr;
  EDGEPOSE_RETURN_IF_ERROR(library.check(
      CreateSession::of(api)(library.env, path.c_str(), options.get(), &session), path));
  return own<ReleaseSession>(library, session);
}

Status match_session(const Library& library, const Session* session, const ModelFiles& files,
                     const std::string& path) {
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  EDGEPOSE_RETURN_IF_ERROR(
      (read_ports<InputCount, InputName, InputType>(library, session, &inputs)));
  EDGEPOSE_RETURN_IF_ERROR(
      (read_ports<OutputCount, OutputName, OutputType>(library, session, &outputs)));
  EDGEPOSE_RETURN_IF_ERROR(match_ports("input", files.inputs, inputs, path));
  return match_ports("output", files.outputs, outputs, path);
}

}  // namespace edgepose::ort
