#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <system_error>

#include "engines/engines.h"

namespace edgepose {
namespace {

struct Backend {
  const char* name;
  EngineResult (*make)(const ModelFiles&, const EngineOptions&);
};

#if defined(EDGEPOSE_WITH_OPENVINO) || defined(EDGEPOSE_WITH_ONNXRUNTIME) || \
    defined(EDGEPOSE_WITH_TENSORRT)
// Several engines run ONNX files; the device tells which.
EngineResult make_onnx_engine(const ModelFiles& files, const EngineOptions& options) {
#ifdef EDGEPOSE_WITH_TENSORRT
  if (device_index(options.device, "TENSORRT")) return make_tensorrt_engine(files, options);
#endif
#if defined(EDGEPOSE_WITH_OPENVINO) && defined(EDGEPOSE_WITH_ONNXRUNTIME)
  return is_onnxruntime_device(options.device) ? make_onnxruntime_engine(files, options)
                                               : make_openvino_engine(files, options);
#elif defined(EDGEPOSE_WITH_OPENVINO)
  return make_openvino_engine(files, options);
#elif defined(EDGEPOSE_WITH_ONNXRUNTIME)
  return make_onnxruntime_engine(files, options);
#else
  return make_tensorrt_engine(files, options);  // names the devices that it has
#endif
}
#endif

constexpr Backend kBackends[] = {
    {"fake", make_fake_engine},
#ifdef EDGEPOSE_WITH_NCNN
    {"ncnn", make_ncnn_engine},
#endif
#ifdef EDGEPOSE_WITH_OPENVINO
    {"openvino", make_openvino_engine},
#endif
#ifdef EDGEPOSE_WITH_ONNXRUNTIME
    {"onnxruntime", make_onnxruntime_engine},
#endif
#ifdef EDGEPOSE_WITH_TENSORRT
    {"tensorrt", make_tensorrt_engine},
#endif
#if defined(EDGEPOSE_WITH_OPENVINO) || defined(EDGEPOSE_WITH_ONNXRUNTIME) || \
    defined(EDGEPOSE_WITH_TENSORRT)
    {"onnx", make_onnx_engine},
#endif
#ifdef EDGEPOSE_WITH_RKNN
    {"rknn", make_rknn_engine},
#endif
};

constexpr int kMaxThreads = 256;
constexpr int64_t kMaxElements = int64_t{1} << 31;

Status check_specs(const char* what, const std::vector<TensorSpec>& specs) {
  if (specs.empty())
    return Status(Code::kInvalidArgument, std::string("a network needs at least one ") + what);
  for (const TensorSpec& spec : specs) {
    int64_t count = 1;
    bool valid =
        !spec.dims.empty() && spec.dims.size() <= 5 && (spec.dims[0] == -1 || spec.dims[0] > 0);
    for (size_t i = 0; valid && i < spec.dims.size(); ++i) {
      const int64_t d = i == 0 && spec.dims[0] == -1 ? 1 : spec.dims[i];
      valid = d > 0 && d <= kMaxElements / count;
      count *= valid ? d : 1;
    }
    if (!valid) {
      return Status(Code::kInvalidArgument, std::string(what) + " \"" + spec.name +
                                                "\" has impossible dims " + dims_text(spec.dims));
    }
  }
  return {};
}

}  // namespace

const std::vector<std::string>& available_backends() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Backend& backend : kBackends) all.emplace_back(backend.name);
    return all;
  }();
  return names;
}

EngineResult make_engine(const std::string& backend, const ModelFiles& files,
                         const EngineOptions& options) {
  if (options.threads < 1 || options.threads > kMaxThreads) {
    return Status(Code::kInvalidArgument, "threads is " + std::to_string(options.threads),
                  "use 1 to " + std::to_string(kMaxThreads));
  }
  if (options.precision != "fp32" && options.precision != "fp16" && options.precision != "bf16" &&
      options.precision != "int8" && options.precision != "mixed") {
    return Status(Code::kInvalidArgument, "unknown precision \"" + options.precision + "\"");
  }
  if (options.precision == "bf16" && backend != "openvino") {
    return Status(Code::kUnsupported, "the engine \"" + backend + "\" does not compute in bfloat16",
                  "bf16 is for openvino");
  }
  EDGEPOSE_RETURN_IF_ERROR(check_specs("input", files.inputs));
  EDGEPOSE_RETURN_IF_ERROR(check_specs("output", files.outputs));
  for (const auto& [role, path] : files.paths) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                               std::fclose);
    if (file == nullptr)
      return Status(Code::kIo, "the network's " + role + " file " + path + " cannot be read");
  }
  for (const Backend& candidate : kBackends) {
    if (backend == candidate.name) {
      return guarded(candidate.name, [&] { return candidate.make(files, options); });
    }
  }
  std::string names;
  for (const std::string& name : available_backends()) names += (names.empty() ? "" : ", ") + name;
  return Status(Code::kUnsupported, "this build has no engine \"" + backend + "\"",
                "it has: " + names);
}

Result<std::string> path_of(const ModelFiles& files, const std::string& role) {
  const auto found = files.paths.find(role);
  if (found == files.paths.end()) {
    return Status(Code::kInvalidArgument, "the network has no file with the role \"" + role + "\"");
  }
  return found->second;
}

Status check_inputs(const std::vector<TensorSpec>& specs, Span<const Tensor> in) {
  constexpr int64_t kMaxBatch = 4096;
  if (in.size() != specs.size()) {
    return Status(Code::kInvalidArgument, "the network takes " + std::to_string(specs.size()) +
                                              " inputs, got " + std::to_string(in.size()));
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::vector<int64_t>& want = specs[i].dims;
    const std::vector<int64_t>& have = in[i].dims();
    const bool fits = have.size() == want.size() && in[i].data() != nullptr && have[0] >= 1 &&
                      have[0] <= kMaxBatch && (want[0] == -1 || want[0] == have[0]) &&
                      have[0] == in[0].dims()[0] &&
                      std::equal(want.begin() + 1, want.end(), have.begin() + 1);
    if (!fits) {
      return Status(Code::kInvalidArgument, "input \"" + specs[i].name + "\" has the dims " +
                                                dims_text(have) + ", expected " + dims_text(want));
    }
  }
  return {};
}

void resize_outputs(int64_t batch, std::vector<std::vector<int64_t>>* dims,
                    std::vector<Tensor>* out) {
  out->resize(dims->size());
  for (size_t o = 0; o < dims->size(); ++o) {
    (*dims)[o][0] = batch;
    (*out)[o].resize((*dims)[o]);
  }
}

int64_t items_in_rounds(int64_t batch, int threads) {
  // All threads together finish one item in a little more than 1/threads of the time, so a rest of
  // more than half a round is quicker as a round.
  const int64_t rest = batch % threads;
  return 2 * rest <= threads ? batch - rest : batch;
}

std::optional<int> device_index(const std::string& name, const std::string& kind) {
  if (name == kind) return 0;
  if (name.rfind(kind + ".", 0) != 0) return std::nullopt;
  const std::string number = name.substr(kind.size() + 1);
  const bool valid = !number.empty() && number.size() <= 3 &&
                     number.find_first_not_of("0123456789") == std::string::npos;
  return valid ? std::optional<int>(std::stoi(number)) : std::nullopt;
}

std::string tensorrt_cache_folder() {
  // As edgepose/paths.py does.
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  const std::string own = variable("EDGEPOSE_CACHE");
  const std::string home = variable("HOME");
  const std::filesystem::path xdg = variable("XDG_CACHE_HOME");
  const bool is_below_home = own == "~" || own.rfind("~/", 0) == 0;
  std::filesystem::path folder;
  if (!own.empty() && !is_below_home) {
    folder = own;
  } else if (own.empty() && xdg.is_absolute()) {
    folder = xdg / "edgepose";
  } else if (!home.empty()) {
    folder = is_below_home ? home + own.substr(1) : home + "/.cache/edgepose";
  } else {
    return {};
  }
  folder /= "tensorrt";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::string() : folder.string();
}

std::string dims_text(const std::vector<int64_t>& dims) {
  std::string text;
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : "x") + (dims[i] == -1 ? std::string("N") : std::to_string(dims[i]));
  }
  return text.empty() ? "scalar" : text;
}

std::string one_line(const std::string& text) {
  std::istringstream lines(text);
  std::string joined;
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find_first_not_of(" \t\r");
    const bool position = line.rfind("Exception from ", 0) == 0 || line.rfind("Check '", 0) == 0;
    if (first == std::string::npos || position) continue;
    joined += (joined.empty() ? "" : "; ") +
              line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
  }
  constexpr size_t kMaxLength = 500;
  if (joined.size() > kMaxLength) joined = joined.substr(0, kMaxLength) + "...";
  for (char& c : joined) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return joined.empty() ? "no message" : joined;
}

}  // namespace edgepose
