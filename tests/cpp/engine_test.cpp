#include "edgepose/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace edgepose {
namespace {

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) /
        ("engine_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(folder_);
    write("tiny.fake", "edgepose-fake 1\n");
    write("tiny.param",
          "7767517\n4 5\n"
          "Input in0 0 1 in0 0=8 1=8 2=3\n"
          "Convolution conv 1 1 in0 c 0=2 1=1 5=1 6=6\n"
          "Split split 1 2 c out0 c1\n"
          "Pooling mean 1 1 c1 out1 0=1 4=1\n");
    const float numbers[] = {0, 0.5F, -1, 0.25F, 2, 0.125F, -0.75F, 0.5F, -0.25F};
    write("tiny.bin", std::string(reinterpret_cast<const char*>(numbers), sizeof(numbers)));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
  }
  ModelFiles files(const std::string& backend) const {
    ModelFiles model;
    if (backend == "fake") model.paths = {{"fake", path("tiny.fake")}};
    if (backend == "ncnn") model.paths = {{"param", path("tiny.param")}, {"bin", path("tiny.bin")}};
    TensorSpec input;
    input.name = "input";
    input.tensor = "in0";
    input.dims = {-1, 3, 8, 8};
    TensorSpec map = input;
    map.name = "map";
    map.tensor = "out0";
    map.dims = {-1, 2, 8, 8};
    TensorSpec mean = map;
    mean.name = "mean";
    mean.tensor = "out1";
    mean.dims = {-1, 2};
    model.inputs = {input};
    model.outputs = {map, mean};
    return model;
  }
  static std::vector<Tensor> pictures(int64_t count) {
    std::vector<Tensor> in(1);
    in[0].resize({count, 3, 8, 8});
    for (int64_t i = 0; i < in[0].count(); ++i)
      in[0].data()[i] = static_cast<float>((i * 37) % 101) / 50.0F - 1.0F;
    return in;
  }

  std::filesystem::path folder_;
};

// The backends whose files the fixture can write without their tools; pytest runs the others.
std::vector<std::string> backends() {
  std::vector<std::string> names;
  for (const std::string& name : available_backends()) {
    if (name == "fake" || name == "ncnn") names.push_back(name);
  }
  return names;
}

TEST_F(EngineTest, BatchesEqualSingleItems) {
  for (const std::string& backend : backends()) {
    for (const int threads : {1, 2, 3}) {
      EngineOptions options;
      options.threads = threads;
      auto engine = make_engine(backend, files(backend), options);
      ASSERT_TRUE(engine.ok()) << engine.status().message();
      const std::vector<Tensor> all = pictures(5);
      std::vector<Tensor> together;
      ASSERT_TRUE(engine.value()->run(all, &together).ok());
      for (int64_t item = 0; item < 5; ++item) {
        std::vector<Tensor> one(1);
        one[0].resize({1, 3, 8, 8});
        std::copy_n(all[0].data() + item * 192, 192, one[0].data());
        std::vector<Tensor> alone;
        ASSERT_TRUE(engine.value()->run(one, &alone).ok());
        for (size_t o = 0; o < alone.size(); ++o) {
          const int64_t count = alone[o].count();
          EXPECT_TRUE(std::equal(alone[o].data(), alone[o].data() + count,
                                 together[o].data() + item * count))
              << backend << " threads " << threads << " item " << item << " output " << o;
        }
      }
    }
  }
}

TEST_F(EngineTest, WrongInputsAreRefusedAndTheEngineGoesOn) {
  for (const std::string& backend : backends()) {
    auto engine = make_engine(backend, files(backend), EngineOptions());
    ASSERT_TRUE(engine.ok()) << engine.status().message();
    std::vector<Tensor> out;
    EXPECT_EQ(engine.value()->run(Span<const Tensor>(), &out).code(), Code::kInvalidArgument);
    std::vector<Tensor> wrong(1);
    wrong[0].resize({1, 3, 8, 9});
    EXPECT_EQ(engine.value()->run(wrong, &out).code(), Code::kInvalidArgument);
    wrong[0].borrow(nullptr, {1, 3, 8, 8});
    EXPECT_EQ(engine.value()->run(wrong, &out).code(), Code::kInvalidArgument);
    EXPECT_TRUE(engine.value()->run(pictures(2), &out).ok());
  }
}

TEST_F(EngineTest, DamagedFilesGiveAStatus) {
  for (const std::string& backend : backends()) {
    for (const auto& [role, file] : files(backend).paths) {
      std::string whole;
      {
        std::ifstream stream(file, std::ios::binary);
        whole.assign(std::istreambuf_iterator<char>(stream), {});
      }
      for (size_t place = 0; place < whole.size(); ++place) {
        for (const int bit : {0, 4, 7}) {
          std::string damaged = whole;
          damaged[place] = static_cast<char>(damaged[place] ^ (1 << bit));
          std::ofstream(file, std::ios::binary) << damaged;
          auto engine = make_engine(backend, files(backend), EngineOptions());
          std::vector<Tensor> out;
          if (engine.ok()) {
            const Status ignored = engine.value()->run(pictures(1), &out);
            static_cast<void>(ignored);
          }
        }
        std::ofstream(file, std::ios::binary) << whole.substr(0, place);
        // The last byte of a text file is its newline, which may be missing.
        EXPECT_TRUE(place + 1 == whole.size() ||
                    !make_engine(backend, files(backend), EngineOptions()).ok())
            << role << " cut to " << place;
      }
      std::ofstream(file, std::ios::binary) << whole;
    }
    EXPECT_TRUE(make_engine(backend, files(backend), EngineOptions()).ok());
  }
}

TEST_F(EngineTest, OptionsAreChecked) {
  for (const std::string& backend : backends()) {
    EngineOptions options;
    options.threads = 0;
    EXPECT_EQ(make_engine(backend, files(backend), options).status().code(),
              Code::kInvalidArgument);
    options = EngineOptions();
    options.precision = "fp8";
    EXPECT_EQ(make_engine(backend, files(backend), options).status().code(),
              Code::kInvalidArgument);
    options = EngineOptions();
    options.device = "TPU";
    EXPECT_EQ(make_engine(backend, files(backend), options).status().code(), Code::kUnsupported);
  }
  EXPECT_EQ(make_engine("caffe", files("fake"), EngineOptions()).status().code(),
            Code::kUnsupported);
}

}  // namespace
}  // namespace edgepose
