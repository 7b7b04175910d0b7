#ifndef EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_DOUBLE_H_
#define EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_DOUBLE_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "NvInfer.h"

// TensorRT and a GPU that compute on the CPU, and what a test asks of them. As on a GPU, copies and
// networks that are queued happen at the latest when somebody waits for them; here, no earlier.
namespace tensorrt_double {

struct Port {
  std::vector<int64_t> dims;  // -1: left open by the file
  nvinfer1::DataType type = nvinfer1::DataType::kFLOAT;
};

struct World {
  int gpus = 1;
  std::string gpu_name = "Orin";
  std::map<std::string, Port> inputs;
  std::map<std::string, Port> outputs;
  // The functions that fail. "enqueueV3" and "buildSerializedNetwork" say why to the logger.
  std::set<std::string> failing;

  int builds = 0;
  int runs = 0;
  int memory = 0;   // blocks on the GPU
  int streams = 0;  // that exist
  int device = -1;  // the one chosen last
  std::vector<std::string> notes;
  std::vector<std::function<void()>> queue;
  std::map<std::string, void*> addresses;
  std::map<std::string, nvinfer1::Dims> shapes;
  nvinfer1::ILogger* logger = nullptr;
};

World& world();

}  // namespace tensorrt_double

#endif  // EDGEPOSE_TESTS_CPP_TENSORRT_DOUBLE_DOUBLE_H_
