#include "engines/tensorrt_plan.h"

#include <NvOnnxParser.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <system_error>
#include <utility>
#include <vector>

#include "edgepose/sha256.h"
#include "engines/engines.h"

#if NV_TENSORRT_MAJOR < 10
#error "TensorRT 10 or later is needed"
#endif

namespace edgepose::trt {
namespace {

Status failure(const std::string& path, const std::string& what) {
  return Status(Code::kBackendFailure, path + ": TensorRT " + what,
                "try --device ORT or CPU, which run the same file");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A plan fits one TensorRT on one kind of GPU. Empty where there is no folder to keep it in.
Result<std::string> plan_file(const std::string& network, const std::string& precision, int index) {
  const std::string folder = tensorrt_cache_folder();
  if (folder.empty()) return std::string();
  cudaDeviceProp gpu{};
  if (const cudaError_t error = cudaGetDeviceProperties(&gpu, index); error != cudaSuccess) {
    return Status(Code::kBackendFailure, std::string("CUDA: ") + cudaGetErrorString(error));
  }
  const std::string key = sha256_hex(network.data(), network.size()) + " " + precision + " " +
                          std::to_string(getInferLibVersion()) + " " + gpu.name + " " +
                          std::to_string(gpu.major) + "." + std::to_string(gpu.minor);
  return folder + "/" + sha256_hex(key.data(), key.size()) + ".plan";
}

// Another process may write the same file: each has a name of its own until it is whole. A full
// disk costs the next start its minutes, nothing else.
void keep(const std::string& file, const void* data, size_t bytes) {
  if (file.empty()) return;
  const std::string part = file + "." + std::to_string(std::random_device()()) + ".part";
  bool whole = false;
  {
    std::ofstream out(part, std::ios::binary);
    out.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    out.close();
    whole = !out.fail();
  }
  std::error_code error;
  if (whole) std::filesystem::rename(part, file, error);
  if (!whole || error) std::filesystem::remove(part, error);
}

nvinfer1::Dims single_item(const TensorSpec& spec) {
  nvinfer1::Dims dims{};
  dims.nbDims = static_cast<int32_t>(spec.dims.size());
  for (size_t i = 0; i < spec.dims.size(); ++i) dims.d[i] = i == 0 ? 1 : spec.dims[i];
  return dims;
}

bool has_open_size(const nvinfer1::INetworkDefinition& network) {
  for (int32_t i = 0; i < network.getNbInputs(); ++i) {
    const nvinfer1::Dims dims = network.getInput(i)->getDimensions();
    for (int32_t d = 0; d < dims.nbDims; ++d) {
      if (dims.d[d] < 0) return true;
    }
  }
  return false;
}

std::string errors_of(const nvonnxparser::IParser& parser) {
  std::string text;
  for (int32_t i = 0; i < parser.getNbErrors(); ++i) {
    text += (i == 0 ? "" : "; ") + std::string(parser.getError(i)->desc());
  }
  return one_line(text);
}

Result<std::unique_ptr<nvinfer1::IHostMemory>> build(const std::string& path,
                                                     const ModelFiles& files,
                                                     const std::string& precision) {
  Log& log = Log::instance();
  const std::unique_ptr<nvinfer1::IBuilder> builder(nvinfer1::createInferBuilder(log));
  if (builder == nullptr) return failure(path, "has no builder: " + log.take());
  const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(0));
  if (network == nullptr) return failure(path, "makes no network: " + log.take());
  const std::unique_ptr<nvonnxparser::IParser> parser(nvonnxparser::createParser(*network, log));
  if (parser == nullptr) return failure(path, "has no parser: " + log.take());
  const auto errors_only = static_cast<int32_t>(nvinfer1::ILogger::Severity::kERROR);
  if (!parser->parseFromFile(path.c_str(), errors_only)) {
    log.take();  // says the same
    return failure(path, "does not read it: " + errors_of(*parser));
  }
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
  if (config == nullptr) return failure(path, "has no configuration: " + log.take());
  if (has_open_size(*network)) {
    using nvinfer1::OptProfileSelector;
    nvinfer1::IOptimizationProfile* const profile = builder->createOptimizationProfile();
    for (const TensorSpec& spec : files.inputs) {
      for (const OptProfileSelector which :
           {OptProfileSelector::kMIN, OptProfileSelector::kOPT, OptProfileSelector::kMAX}) {
        if (profile == nullptr ||
            !profile->setDimensions(spec.tensor.c_str(), which, single_item(spec))) {
          return failure(path, "refuses the size of " + spec.tensor + ": " + log.take());
        }
      }
    }
    config->addOptimizationProfile(profile);
  }
  // Else float32 is multiplied with ten bits of mantissa.
  config->clearFlag(nvinfer1::BuilderFlag::kTF32);
#if NV_TENSORRT_MAJOR < 11  // later ones compute in the types of the file
  if (precision == "fp16") config->setFlag(nvinfer1::BuilderFlag::kFP16);
#else
  static_cast<void>(precision);
#endif
  std::unique_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
  if (plan == nullptr) return failure(path, "cannot build it: " + log.take());
  return plan;
}

}  // namespace

Log& Log::instance() {
  static Log* const log = new Log;  // TensorRT may speak while the process ends
  return *log;
}

void Log::log(Severity severity, const char* text) noexcept {
  if (severity > Severity::kERROR) return;
  try {
    constexpr size_t kMost = 1000;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (errors_.size() < kMost) errors_ += (errors_.empty() ? "" : "; ") + std::string(text);
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a message
  }
}

std::string Log::take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return one_line(std::exchange(errors_, {}));
}

Result<Plan> load_plan(const std::string& path, const ModelFiles& files,
                       const std::string& precision, int index) {
  Log& log = Log::instance();
  const std::string network = read_file(path);
  if (network.empty()) return Status(Code::kIo, path + " cannot be read");
  EDGEPOSE_ASSIGN_OR_RETURN(const std::string kept, plan_file(network, precision, index));
  Plan plan;
  plan.runtime.reset(nvinfer1::createInferRuntime(log));
  if (plan.runtime == nullptr) return failure(path, "has no runtime: " + log.take());
  const std::string before = kept.empty() ? std::string() : read_file(kept);
  if (!before.empty()) {
    plan.engine.reset(plan.runtime->deserializeCudaEngine(before.data(), before.size()));
    if (plan.engine != nullptr) return plan;
    log.take();  // damaged, or of another TensorRT after all: it is built again
  }
  EDGEPOSE_ASSIGN_OR_RETURN(const auto built, build(path, files, precision));
  plan.engine.reset(plan.runtime->deserializeCudaEngine(built->data(), built->size()));
  if (plan.engine == nullptr) return failure(path, "does not load it: " + log.take());
  keep(kept, built->data(), built->size());
  return plan;
}

}  // namespace edgepose::trt
