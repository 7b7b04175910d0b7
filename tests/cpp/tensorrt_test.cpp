// The TensorRT engine on a double of TensorRT and CUDA that computes on the CPU: no GPU is at hand.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edgepose/engine.h"
#include "engines/engines.h"
#include "tensorrt_double/double.h"

namespace edgepose {
namespace {

namespace fs = std::filesystem;
using tensorrt_double::World;
using tensorrt_double::world;

class TensorrtTest : public testing::Test {
 protected:
  void SetUp() override {
    world() = World();
    world().inputs["in0"].dims = {-1, 3, 2, 2};
    world().outputs["out0"].dims = {-1, 5};
    world().outputs["out1"].dims = {-1, 2, 2};
    folder_ =
        fs::path(testing::TempDir()) /
        (std::string("tensorrt_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    setenv("EDGEPOSE_CACHE", (folder_ / "cache").c_str(), 1);
    write(folder_ / "network.onnx", "onnx, one network");
    files_.paths["onnx"] = (folder_ / "network.onnx").string();
    files_.inputs = {{"input", {-1, 3, 2, 2}, "in0"}};
    files_.outputs = {{"first", {-1, 5}, "out0"}, {"second", {-1, 2, 2}, "out1"}};
  }
  void TearDown() override {
    fs::remove_all(folder_);
    unsetenv("EDGEPOSE_CACHE");
    EXPECT_EQ(world().memory, 0);
    EXPECT_EQ(world().streams, 0);
    EXPECT_TRUE(world().queue.empty());
  }

  static void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  EngineResult open(const std::string& device = "TENSORRT", const std::string& precision = "fp32") {
    EngineOptions options;
    options.device = device;
    options.precision = precision;
    return make_tensorrt_engine(files_, options);
  }

  // Opens and expects one line of text with `part` in it.
  void expect_refused(Code code, const std::string& part, const std::string& device = "TENSORRT") {
    const EngineResult made = open(device);
    ASSERT_FALSE(made.ok()) << part;
    EXPECT_EQ(made.status().code(), code) << made.status().message();
    EXPECT_NE(made.status().message().find(part), std::string::npos) << made.status().message();
    EXPECT_EQ(made.status().message().find('\n'), std::string::npos);
  }

  std::vector<fs::path> kept() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache" / "tensorrt")) {
      found.push_back(entry.path());
    }
    return found;
  }

  fs::path folder_;
  ModelFiles files_;
};

Tensor batch_of(int64_t items) {
  Tensor tensor;
  tensor.resize({items, 3, 2, 2});
  for (int64_t i = 0; i < tensor.count(); ++i) tensor.data()[i] = static_cast<float>(i) + 0.5F;
  return tensor;
}

void expect_results(InferenceEngine* engine, int64_t items) {
  std::vector<Tensor> in;
  in.push_back(batch_of(items));
  std::vector<Tensor> out;
  const Status status = engine->run(in, &out);
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].dims(), (std::vector<int64_t>{items, 5}));
  EXPECT_EQ(out[1].dims(), (std::vector<int64_t>{items, 2, 2}));
  for (int64_t item = 0; item < items; ++item) {
    const float* from = in[0].data() + item * 12;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(out[0].data()[item * 5 + i], from[i]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(out[1].data()[item * 4 + i], 2 * from[i]);
  }
}

TEST_F(TensorrtTest, ItemsOfABatchRunOneByOne) {
  auto made = open();
  ASSERT_TRUE(made.ok()) << made.status().message();
  for (const int64_t items : {3, 1, 5, 2}) expect_results(made.value().get(), items);
  EXPECT_EQ(world().runs, 11);
  EXPECT_EQ(world().memory, 3);
}

TEST_F(TensorrtTest, TheNetworkIsBuiltForOneItemInFullPrecision) {
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(world().notes,
            (std::vector<std::string>{"min in0 1x3x2x2", "opt in0 1x3x2x2", "max in0 1x3x2x2",
                                      "add profile", "clear 7", "load plan 1"}));
  world().notes.clear();
  ASSERT_TRUE(open("TENSORRT", "fp16").ok());
  EXPECT_EQ(world().notes.at(world().notes.size() - 2), "set 0");
}

TEST_F(TensorrtTest, ANetworkOfFixedSizesNeedsNoProfile) {
  for (auto* ports : {&world().inputs, &world().outputs}) {
    for (auto& [name, port] : *ports) port.dims[0] = 1;
  }
  auto made = open();
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ(world().notes, (std::vector<std::string>{"clear 7", "load plan 1"}));
  expect_results(made.value().get(), 2);
}

TEST_F(TensorrtTest, WhatWasBuiltIsKeptForTheSameNetworkGpuAndPrecision) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(world().builds, 1);
  ASSERT_TRUE(open("TENSORRT", "fp16").ok());
  EXPECT_EQ(world().builds, 2);
  world().gpu_name = "Xavier";
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(world().builds, 3);
  write(files_.paths["onnx"], "onnx, another network");
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(world().builds, 4);
  const auto files = kept();
  EXPECT_EQ(files.size(), 4U);
  for (const fs::path& file : files) EXPECT_EQ(file.extension(), ".plan");
}

TEST_F(TensorrtTest, ADamagedPlanIsBuiltAgain) {
  ASSERT_TRUE(open().ok());
  const fs::path file = kept().at(0);
  for (const char* damage : {"", "of another TensorRT"}) {
    write(file, damage);
    auto made = open();
    ASSERT_TRUE(made.ok()) << made.status().message();
    expect_results(made.value().get(), 1);
  }
  EXPECT_EQ(world().builds, 3);
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(world().builds, 3);
}

TEST_F(TensorrtTest, WithoutAPlaceToKeepPlansItWorks) {
  write(folder_ / "file", "not a folder");
  setenv("EDGEPOSE_CACHE", (folder_ / "file").c_str(), 1);
  auto made = open();
  ASSERT_TRUE(made.ok()) << made.status().message();
  expect_results(made.value().get(), 2);
  fs::create_directories(folder_ / "cache" / "tensorrt");
}

TEST_F(TensorrtTest, TheGpuIsChosenByNumberInEveryThread) {
  world().gpus = 2;
  auto made = open("TENSORRT.1");
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ(world().device, 1);
  world().device = 0;
  std::thread([&made] { expect_results(made.value().get(), 1); }).join();
  EXPECT_EQ(world().device, 1);
}

TEST_F(TensorrtTest, GpusThatAreNotThereAreNamed) {
  expect_refused(Code::kUnsupported, "there is no GPU 1, CUDA has 1", "TENSORRT.1");
  for (const char* name :
       {"TENSORRT.", "TENSORRT.x", "TENSORRT.-1", "TENSORRT.1234", "tensorrt", "CPU"}) {
    expect_refused(Code::kUnsupported, std::string("no device \"") + name + "\"", name);
  }
  world().gpus = 0;
  expect_refused(Code::kUnsupported, "CUDA finds no GPU: there are none");
  world().failing = {"cudaGetDeviceCount"};
  expect_refused(Code::kUnsupported, "CUDA finds no GPU: no CUDA-capable device is detected");
}

TEST_F(TensorrtTest, AnotherNetworkThanTheBundleDeclaresIsRefused) {
  const World good = world();
  const auto change = [&good](const char* name, const std::vector<int64_t>& dims) {
    world() = good;
    (name[0] == 'i' ? world().inputs : world().outputs)[name].dims = dims;
  };
  change("in0", {-1, 3, 2, 4});
  expect_refused(Code::kBackendFailure, "gives Nx3x2x4 as in0");
  change("out1", {-1, 2, 3});
  expect_refused(Code::kBackendFailure, "gives 1x2x3 as out1");
  change("out1", {-1, 4});
  expect_refused(Code::kBackendFailure, "gives 1x4 as out1");
  change("out2", {-1, 4});
  expect_refused(Code::kBackendFailure, "has 4 inputs and outputs");
  world() = good;
  world().outputs["out0"].type = nvinfer1::DataType::kHALF;
  expect_refused(Code::kBackendFailure, "has no float32 in out0");
  world() = good;
  files_.outputs[1].tensor = "elsewhere";
  expect_refused(Code::kBackendFailure, "has no output elsewhere");
  files_.outputs[1].tensor = "in0";
  expect_refused(Code::kBackendFailure, "has no output in0");
}

TEST_F(TensorrtTest, AFileThatIsNoNetworkIsRefused) {
  write(files_.paths["onnx"], "something else");
  expect_refused(Code::kBackendFailure,
                 "does not read it: Assertion failed: unknown operator; Assertion failed");
  EXPECT_TRUE(kept().empty());
  write(files_.paths["onnx"], "");
  expect_refused(Code::kIo, "network.onnx cannot be read");
  files_.paths.clear();
  expect_refused(Code::kInvalidArgument, "no file with the role \"onnx\"");
}

TEST_F(TensorrtTest, EveryFailureWhileOpeningIsOneLineAndLeavesNothing) {
  for (const char* name :
       {"cudaSetDevice", "cudaGetDeviceProperties", "cudaMalloc", "cudaStreamCreateWithFlags",
        "createInferRuntime", "createInferBuilder", "createNetworkV2", "createParser",
        "createBuilderConfig", "setDimensions", "buildSerializedNetwork", "deserializeCudaEngine",
        "createExecutionContext", "setInputShape", "setTensorAddress"}) {
    world().failing = {name};
    expect_refused(Code::kBackendFailure, "");
    EXPECT_EQ(world().memory + world().streams, 0) << name;
    fs::remove_all(folder_ / "cache");
  }
  world().failing = {"buildSerializedNetwork"};
  expect_refused(Code::kBackendFailure,
                 "cannot build it: Could not find any; implementation for node x");
}

TEST_F(TensorrtTest, AFailureWhileRunningIsToldAndPasses) {
  auto made = open();
  ASSERT_TRUE(made.ok());
  std::vector<Tensor> in;
  in.push_back(batch_of(2));
  std::vector<Tensor> out;
  const std::pair<const char*, const char*> failures[] = {
      {"cudaSetDevice", "CUDA cannot use the GPU: out of memory"},
      {"copy in", "CUDA cannot copy an input: out of memory"},
      {"copy out", "CUDA cannot copy an output: out of memory"},
      {"enqueueV3", "TensorRT cannot run it: illegal memory access"},
      {"cudaStreamSynchronize", "CUDA cannot finish the network: out of memory"},
  };
  for (const auto& [name, message] : failures) {
    world().failing = {name};
    const Status status = made.value()->run(in, &out);
    EXPECT_EQ(status.code(), Code::kBackendFailure) << name;
    EXPECT_NE(status.message().find(message), std::string::npos) << status.message();
    EXPECT_TRUE(world().queue.empty()) << name;  // nothing of the caller's memory is still in use
  }
  world().failing.clear();
  expect_results(made.value().get(), 2);
  in[0].resize({2, 3, 2, 3});
  EXPECT_EQ(made.value()->run(in, &out).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace edgepose
