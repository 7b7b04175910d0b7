#ifndef EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_NVINFER_H_
#define EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_NVINFER_H_

// What the engine uses of TensorRT 10's interface, for tensorrt_test.cpp: the names and signatures
// only. The engine's sources are compiled with the real headers where TensorRT is installed.

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda_runtime_api.h"

#define NV_TENSORRT_MAJOR 10

namespace nvinfer1 {

struct Dims {
  int32_t nbDims;
  int64_t d[8];
};
enum class DataType : int32_t { kFLOAT = 0, kHALF = 1 };
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class OptProfileSelector : int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };
enum class BuilderFlag : int32_t { kFP16 = 0, kTF32 = 7 };

class ILogger {
 public:
  enum class Severity : int32_t {
    kINTERNAL_ERROR = 0,
    kERROR = 1,
    kWARNING = 2,
    kINFO = 3,
    kVERBOSE = 4
  };
  virtual void log(Severity severity, const char* text) noexcept = 0;

 protected:
  virtual ~ILogger() = default;
};

class IHostMemory {
 public:
  explicit IHostMemory(std::string content) : content_(std::move(content)) {}
  void* data() noexcept { return content_.data(); }
  size_t size() const noexcept { return content_.size(); }

 private:
  std::string content_;
};

class ITensor {
 public:
  Dims getDimensions() const noexcept;
  int32_t index = 0;
};

class INetworkDefinition {
 public:
  int32_t getNbInputs() const noexcept;
  ITensor* getInput(int32_t index) const noexcept;
};

class IOptimizationProfile {
 public:
  bool setDimensions(const char* name, OptProfileSelector which, const Dims& dims) noexcept;
};

class IBuilderConfig {
 public:
  void setFlag(BuilderFlag flag) noexcept;
  void clearFlag(BuilderFlag flag) noexcept;
  int32_t addOptimizationProfile(const IOptimizationProfile* profile) noexcept;
};

class IBuilder {
 public:
  INetworkDefinition* createNetworkV2(uint32_t flags) noexcept;
  IBuilderConfig* createBuilderConfig() noexcept;
  IOptimizationProfile* createOptimizationProfile() noexcept;
  IHostMemory* buildSerializedNetwork(INetworkDefinition& network, IBuilderConfig& config) noexcept;

 private:
  IOptimizationProfile profile_;
};

class IExecutionContext {
 public:
  bool setInputShape(const char* name, const Dims& dims) noexcept;
  Dims getTensorShape(const char* name) const noexcept;
  bool setTensorAddress(const char* name, void* memory) noexcept;
  bool enqueueV3(cudaStream_t stream) noexcept;
};

class ICudaEngine {
 public:
  int32_t getNbIOTensors() const noexcept;
  TensorIOMode getTensorIOMode(const char* name) const noexcept;
  DataType getTensorDataType(const char* name) const noexcept;
  Dims getTensorShape(const char* name) const noexcept;
  IExecutionContext* createExecutionContext() noexcept;
};

class IRuntime {
 public:
  ICudaEngine* deserializeCudaEngine(const void* data, size_t size) noexcept;
};

IBuilder* createInferBuilder(ILogger& logger) noexcept;
IRuntime* createInferRuntime(ILogger& logger) noexcept;

}  // namespace nvinfer1

int32_t getInferLibVersion() noexcept;

#endif  // EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_NVINFER_H_
