#ifndef EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_NVONNXPARSER_H_
#define EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_NVONNXPARSER_H_

// What the engine uses of TensorRT's ONNX parser: see NvInfer.h.

#include "NvInfer.h"

namespace nvonnxparser {

class IParserError {
 public:
  const char* desc() const noexcept;
};

class IParser {
 public:
  bool parseFromFile(const char* path, int32_t verbosity) noexcept;
  int32_t getNbErrors() const noexcept;
  const IParserError* getError(int32_t index) const noexcept;
};

IParser* createParser(nvinfer1::INetworkDefinition& network, nvinfer1::ILogger& logger) noexcept;

}  // namespace nvonnxparser

#endif  // EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_NVONNXPARSER_H_
