#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "edgepose/engine.h"
#include "engines/rknn_api.h"
#include "engines/rknn_layout.h"

namespace edgepose {
namespace {

using rknn::TensorAttr;

// librknnrt's own offsets on 64-bit systems.
static_assert(sizeof(TensorAttr) == 376);
static_assert(offsetof(TensorAttr, name) == 72 && offsetof(TensorAttr, layout) == 336);
static_assert(offsetof(TensorAttr, fraction_bits) == 348 && offsetof(TensorAttr, scale) == 356);
static_assert(offsetof(TensorAttr, pass_through) == 368);
static_assert(sizeof(void*) != 8 || (sizeof(rknn::Memory) == 40 && sizeof(rknn::Input) == 32 &&
                                     sizeof(rknn::Output) == 24));

struct Network {
  char magic[8] = {'R', 'K', 'N', 'N', 'D', 'B', 'L', '1'};
  int32_t in_type = rknn::kFloat32, in_layout = rknn::kNhwc;
  int32_t out_type = rknn::kFloat32, out_layout = rknn::kNc1hwc2, behaviour = 0;
  float in_scale = 1.0F / 64, out_scale = 1.0F / 16;
  int32_t zero_point = 3;
  float weights[2][3] = {{0.5F, -1, 0.25F}, {2, 0.125F, -0.75F}};
  float bias[2] = {0.5F, -0.25F};
  uint32_t checksum = 0;
};

class RknnTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::path(testing::TempDir()) /
             (std::string("rknn_") + testing::UnitTest::GetInstance()->current_test_info()->name() +
              ".rknn"))
                .string();
    use("whole");
    write(Network());
  }
  void TearDown() override {
    std::filesystem::remove(path_);
    unsetenv("EDGEPOSE_RKNN_LIBRARY");
  }

  static void use(const std::string& name) {
    const std::string library =
        std::string(EDGEPOSE_RKNN_DOUBLES) + "/libedgepose_rknn_" + name + ".so";
    setenv("EDGEPOSE_RKNN_LIBRARY", library.c_str(), 1);
  }
  void write(Network network) const {
    uint32_t hash = 2166136261U;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&network);
    for (size_t i = 0; i < offsetof(Network, checksum); ++i) hash = (hash ^ bytes[i]) * 16777619U;
    network.checksum = hash;
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(&network), sizeof(network));
  }
  Result<std::unique_ptr<InferenceEngine>> open(const std::string& device = "CPU") const {
    ModelFiles files;
    files.paths = {{"rknn", path_}};
    files.inputs = {{"input", {-1, 3, 8, 8}, "in0"}};
    files.outputs = {{"mean", {-1, 2}, "out1"}, {"map", {-1, 2, 8, 8}, "out0"}};
    EngineOptions options;
    options.device = device;
    return make_engine("rknn", files, options);
  }
  // Runs three items; returns the largest difference from the convolution in double precision.
  double error_of(InferenceEngine* engine) const {
    std::vector<Tensor> in(1), out;
    in[0].resize({3, 3, 8, 8});
    for (int64_t i = 0; i < in[0].count(); ++i)
      in[0].data()[i] = static_cast<float>((i * 37) % 101) / 64.0F - 0.75F;
    const Status status = engine->run(in, &out);
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok()) return std::numeric_limits<double>::infinity();
    const Network n;
    double largest = 0;
    for (int64_t item = 0; item < 3; ++item) {
      for (int64_t o = 0; o < 2; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < 64; ++i) {
          double want = static_cast<double>(n.bias[o]);
          for (int64_t c = 0; c < 3; ++c)
            want += static_cast<double>(n.weights[o][c]) *
                    static_cast<double>(in[0].data()[(item * 3 + c) * 64 + i]);
          sum += want;
          const double got = static_cast<double>(out[1].data()[(item * 2 + o) * 64 + i]);
          largest = std::max(largest, std::fabs(want - got));
        }
        const double mean = static_cast<double>(out[0].data()[item * 2 + o]);
        largest = std::max(largest, std::fabs(sum / 64 - mean));
      }
    }
    return largest;
  }

  std::string path_;
};

TEST_F(RknnTest, EveryTypeAndLayoutOfTheNpuIsConverted) {
  const std::pair<int32_t, double> types[] = {
      {rknn::kFloat32, 1e-5}, {rknn::kFloat16, 4e-3}, {rknn::kInt8, 0.06}};
  for (const auto& [type, tolerance] : types) {
    for (const int32_t in_layout : {rknn::kNhwc, rknn::kNc1hwc2, rknn::kNchw}) {
      for (const int32_t out_layout : {rknn::kNc1hwc2, rknn::kNchw, rknn::kUndefined}) {
        Network network;
        network.in_type = network.out_type = type;
        network.in_layout = in_layout;
        network.out_layout = out_layout;
        write(network);
        auto engine = open();
        ASSERT_TRUE(engine.ok()) << engine.status().message();
        EXPECT_LT(error_of(engine.value().get()), tolerance)
            << "type " << type << " layouts " << in_layout << " " << out_layout;
      }
    }
  }
}

TEST_F(RknnTest, ARuntimeWithoutZeroCopyIsUsedByCopying) {
  use("copying");
  auto engine = open();
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  EXPECT_LT(error_of(engine.value().get()), 1e-5);
}

TEST_F(RknnTest, ARuntimeThatCannotBeUsedIsNamed) {
  use("absent");
  EXPECT_EQ(open().status().code(), Code::kUnsupported);
  EXPECT_NE(open().status().message().find("libedgepose_rknn_absent.so"), std::string::npos);
  use("partial");
  EXPECT_EQ(open().status().code(), Code::kUnsupported);
  EXPECT_NE(open().status().message().find("no function rknn_run"), std::string::npos);
  use("before_2");
  EXPECT_EQ(open().status().code(), Code::kUnsupported);
  EXPECT_NE(open().status().message().find("1.6.0"), std::string::npos);
  EXPECT_NE(open().status().message().find("0.9.3"), std::string::npos);
}

TEST_F(RknnTest, ALibraryThatRefusesAWholeFileIsProbablyOld) {
  Network failing;
  failing.behaviour = 6;
  for (const bool fails : {false, true}) {
    use(fails ? "whole" : "old");
    write(fails ? failing : Network());
    const Status status = open().status();
    EXPECT_EQ(status.code(), Code::kBackendFailure);
    EXPECT_NE(status.message().find(path_ + ": rknn_init: "), std::string::npos);
    EXPECT_NE(status.hint().find("install librknnrt 2.x"), std::string::npos) << status.hint();
  }
}

TEST_F(RknnTest, FailuresOfTheRuntimeBecomeAStatus) {
  const std::pair<int32_t, const char*> refused[] = {
      {2, "compiled for another chip"}, {3, "no memory"}, {5, "cannot convert"}};
  for (const auto& [behaviour, words] : refused) {
    Network network;
    network.behaviour = behaviour;
    write(network);
    const Status status = open().status();
    EXPECT_EQ(status.code(), Code::kBackendFailure);
    EXPECT_NE(status.message().find(words), std::string::npos) << status.message();
  }
  Network slow;
  slow.behaviour = 1;
  write(slow);
  auto engine = open();
  ASSERT_TRUE(engine.ok());
  std::vector<Tensor> in(1), out;
  in[0].resize({1, 3, 8, 8});
  std::fill_n(in[0].data(), in[0].count(), 0.0F);
  EXPECT_NE(engine.value()->run(in, &out).message().find("did not answer in time"),
            std::string::npos);
}

TEST_F(RknnTest, CoresAreChosenByDeviceName) {
  for (const char* device : {"CPU", "NPU", "NPU0", "NPU012", "NPUALL"})
    EXPECT_TRUE(open(device).ok()) << device;
  EXPECT_EQ(open("NPU7").status().code(), Code::kUnsupported);
  Network network;
  network.behaviour = 4;
  write(network);
  EXPECT_TRUE(open("NPU").ok());
  EXPECT_EQ(open("NPU2").status().code(), Code::kUnsupported);
}

TEST(RknnLayoutTest, HalvesAreRoundedToTheNearest) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = rknn::from_half(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(rknn::from_half(rknn::to_half(value))));
      continue;
    }
    ASSERT_EQ(rknn::to_half(value), half);
  }
  EXPECT_EQ(rknn::to_half(1.0F + 0x1p-11F), rknn::to_half(1.0F));  // a tie goes to even
  EXPECT_EQ(rknn::from_half(rknn::to_half(1.0F + 0x3p-11F)), 1.0F + 0x1p-9F);
  EXPECT_EQ(rknn::to_half(65519.0F), 0x7BFF);
  EXPECT_EQ(rknn::to_half(65520.0F), 0x7C00);
  EXPECT_EQ(rknn::to_half(-1e-9F), 0x8000);
}

TEST(RknnLayoutTest, TensorsThatDoNotFitTheirBufferAreUnknown) {
  TensorAttr attr{};
  attr.type = rknn::kFloat16;
  attr.layout = rknn::kNc1hwc2;
  attr.rank = 5;
  const uint32_t dims[] = {1, 3, 1, 10, 8};
  std::copy_n(dims, 5, attr.dims);
  attr.bytes = 3 * 10 * 8 * 2;
  const rknn::Shape shape{17, 1, 10};
  EXPECT_TRUE(rknn::is_known(attr, shape));
  attr.bytes = 2 * 10 * 8 * 2;
  EXPECT_FALSE(rknn::is_known(attr, shape));
  attr.bytes_with_stride = 3 * 10 * 8 * 2;
  EXPECT_TRUE(rknn::is_known(attr, shape));
  attr.dims[1] = 2;
  EXPECT_FALSE(rknn::is_known(attr, shape));
  attr.dims[1] = 3;
  attr.dims[4] = 0;
  EXPECT_FALSE(rknn::is_known(attr, shape));
  attr.dims[4] = 8;
  attr.type = rknn::kInt8;
  EXPECT_FALSE(rknn::is_known(attr, shape));  // an integer without a scale
  attr.quantisation = rknn::kAffine;
  attr.scale = 0.5F;
  EXPECT_TRUE(rknn::is_known(attr, shape));
  attr.scale = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(rknn::is_known(attr, shape));
  attr.quantisation = rknn::kDynamicFixedPoint;
  EXPECT_TRUE(rknn::is_known(attr, shape));
}

}  // namespace
}  // namespace edgepose
