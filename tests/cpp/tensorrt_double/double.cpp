#include "double.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "NvOnnxParser.h"

struct CUstream_st {};

namespace tensorrt_double {
namespace {

constexpr char kPlan[] = "plan ";

bool fails(const char* name) { return world().failing.count(name) != 0; }

cudaError_t cuda(const char* name, cudaError_t error = cudaErrorMemoryAllocation) {
  return fails(name) ? error : cudaSuccess;
}

void complain(const char* text) {
  if (world().logger != nullptr) {
    world().logger->log(nvinfer1::ILogger::Severity::kWARNING, "only a warning");
    world().logger->log(nvinfer1::ILogger::Severity::kERROR, text);
  }
}

std::string text_of(const nvinfer1::Dims& dims) {
  std::string text;
  for (int32_t i = 0; i < dims.nbDims; ++i) text += (i == 0 ? "" : "x") + std::to_string(dims.d[i]);
  return text;
}

nvinfer1::Dims dims_of(const std::vector<int64_t>& sizes) {
  nvinfer1::Dims dims{static_cast<int32_t>(sizes.size()), {}};
  std::copy(sizes.begin(), sizes.end(), dims.d);
  return dims;
}

const Port* find(const char* name) {
  for (const auto* ports : {&world().inputs, &world().outputs}) {
    if (const auto found = ports->find(name); found != ports->end()) return &found->second;
  }
  return nullptr;
}

size_t count(const Port& port) {
  size_t product = 1;
  for (const int64_t size : port.dims) product *= static_cast<size_t>(size < 0 ? 1 : size);
  return product;
}

// Output n holds the numbers of the first input by turns, times n + 1.
void compute() {
  const auto& [in_name, in] = *world().inputs.begin();
  const auto* from = static_cast<const float*>(world().addresses.at(in_name));
  float factor = 1;
  for (const auto& [name, port] : world().outputs) {
    auto* to = static_cast<float*>(world().addresses.at(name));
    for (size_t i = 0; i < count(port); ++i) to[i] = factor * from[i % count(in)];
    factor += 1;
  }
}

}  // namespace

World& world() {
  static World the;
  return the;
}

}  // namespace tensorrt_double

using tensorrt_double::cuda;
using tensorrt_double::fails;
using tensorrt_double::world;

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "out of memory";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = world().gpus;
  return cuda("cudaGetDeviceCount", cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int index) {
  world().device = index;
  return cuda("cudaSetDevice");
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::strncpy(properties->name, world().gpu_name.c_str(), sizeof(properties->name) - 1);
  properties->major = 8;
  properties->minor = 7;
  return cuda("cudaGetDeviceProperties");
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (fails("cudaMalloc")) return cudaErrorMemoryAllocation;
  *memory = std::malloc(bytes);
  ++world().memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  std::free(memory);
  --world().memory;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (fails("cudaStreamCreateWithFlags")) return cudaErrorMemoryAllocation;
  *stream = new CUstream_st;
  ++world().streams;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  --world().streams;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  for (const auto& work : world().queue) work();
  world().queue.clear();
  return cuda("cudaStreamSynchronize");
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  if (fails(kind == cudaMemcpyHostToDevice ? "copy in" : "copy out"))
    return cudaErrorMemoryAllocation;
  world().queue.emplace_back([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

int32_t getInferLibVersion() noexcept { return 100300; }

namespace nvinfer1 {

Dims ITensor::getDimensions() const noexcept {
  return tensorrt_double::dims_of(std::next(world().inputs.begin(), index)->second.dims);
}

int32_t INetworkDefinition::getNbInputs() const noexcept {
  return static_cast<int32_t>(world().inputs.size());
}

ITensor* INetworkDefinition::getInput(int32_t index) const noexcept {
  static ITensor tensors[8];
  tensors[index].index = index;
  return &tensors[index];
}

bool IOptimizationProfile::setDimensions(const char* name, OptProfileSelector which,
                                         const Dims& dims) noexcept {
  if (fails("setDimensions")) return false;
  const char* const kinds[] = {"min", "opt", "max"};
  world().notes.push_back(std::string(kinds[static_cast<int>(which)]) + " " + name + " " +
                          tensorrt_double::text_of(dims));
  return true;
}

void IBuilderConfig::setFlag(BuilderFlag flag) noexcept {
  world().notes.push_back("set " + std::to_string(static_cast<int>(flag)));
}

void IBuilderConfig::clearFlag(BuilderFlag flag) noexcept {
  world().notes.push_back("clear " + std::to_string(static_cast<int>(flag)));
}

int32_t IBuilderConfig::addOptimizationProfile(const IOptimizationProfile*) noexcept {
  world().notes.emplace_back("add profile");
  return 0;
}

INetworkDefinition* IBuilder::createNetworkV2(uint32_t) noexcept {
  return fails("createNetworkV2") ? nullptr : new INetworkDefinition;
}

IBuilderConfig* IBuilder::createBuilderConfig() noexcept {
  return fails("createBuilderConfig") ? nullptr : new IBuilderConfig;
}

IOptimizationProfile* IBuilder::createOptimizationProfile() noexcept { return &profile_; }

IHostMemory* IBuilder::buildSerializedNetwork(INetworkDefinition&, IBuilderConfig&) noexcept {
  if (fails("buildSerializedNetwork")) {
    tensorrt_double::complain("Could not find any\nimplementation for node x");
    return nullptr;
  }
  ++world().builds;
  return new IHostMemory(tensorrt_double::kPlan + std::to_string(world().builds));
}

bool IExecutionContext::setInputShape(const char* name, const Dims& dims) noexcept {
  if (fails("setInputShape")) return false;
  world().shapes[name] = dims;
  return true;
}

Dims IExecutionContext::getTensorShape(const char* name) const noexcept {
  Dims dims = tensorrt_double::dims_of(tensorrt_double::find(name)->dims);
  if (dims.d[0] < 0 && world().shapes.size() == world().inputs.size()) dims.d[0] = 1;
  return dims;
}

bool IExecutionContext::setTensorAddress(const char* name, void* memory) noexcept {
  world().addresses[name] = memory;
  return !fails("setTensorAddress");
}

bool IExecutionContext::enqueueV3(cudaStream_t) noexcept {
  if (fails("enqueueV3")) {
    tensorrt_double::complain("illegal memory access");
    return false;
  }
  ++world().runs;
  world().queue.emplace_back(tensorrt_double::compute);
  return true;
}

int32_t ICudaEngine::getNbIOTensors() const noexcept {
  return static_cast<int32_t>(world().inputs.size() + world().outputs.size());
}

TensorIOMode ICudaEngine::getTensorIOMode(const char* name) const noexcept {
  if (world().inputs.count(name) != 0) return TensorIOMode::kINPUT;
  return world().outputs.count(name) != 0 ? TensorIOMode::kOUTPUT : TensorIOMode::kNONE;
}

DataType ICudaEngine::getTensorDataType(const char* name) const noexcept {
  return tensorrt_double::find(name)->type;
}

Dims ICudaEngine::getTensorShape(const char* name) const noexcept {
  return tensorrt_double::dims_of(tensorrt_double::find(name)->dims);
}

IExecutionContext* ICudaEngine::createExecutionContext() noexcept {
  world().shapes.clear();
  return fails("createExecutionContext") ? nullptr : new IExecutionContext;
}

ICudaEngine* IRuntime::deserializeCudaEngine(const void* data, size_t size) noexcept {
  const std::string plan(static_cast<const char*>(data), size);
  if (fails("deserializeCudaEngine") || plan.rfind(tensorrt_double::kPlan, 0) != 0) {
    tensorrt_double::complain("Serialization assertion stdVersionRead failed");
    return nullptr;
  }
  world().notes.push_back("load " + plan);
  return new ICudaEngine;
}

IBuilder* createInferBuilder(ILogger& logger) noexcept {
  world().logger = &logger;
  return fails("createInferBuilder") ? nullptr : new IBuilder;
}

IRuntime* createInferRuntime(ILogger& logger) noexcept {
  world().logger = &logger;
  return fails("createInferRuntime") ? nullptr : new IRuntime;
}

}  // namespace nvinfer1

namespace nvonnxparser {

const char* IParserError::desc() const noexcept { return "Assertion failed: unknown operator"; }

bool IParser::parseFromFile(const char* path, int32_t) noexcept {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return content.rfind("onnx", 0) == 0;
}

int32_t IParser::getNbErrors() const noexcept { return 2; }

const IParserError* IParser::getError(int32_t) const noexcept {
  static const IParserError error;
  return &error;
}

IParser* createParser(nvinfer1::INetworkDefinition&, nvinfer1::ILogger&) noexcept {
  return fails("createParser") ? nullptr : new IParser;
}

}  // namespace nvonnxparser
