#ifndef EDGEPOSE_TESTS_CPP_WRONG_GOLDEN_H_
#define EDGEPOSE_TESTS_CPP_WRONG_GOLDEN_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "edgepose/sha256.h"
#include "test_bundles.h"

namespace edgepose {

inline std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

inline void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Signs the folder's manifest anew after its golden.json was changed.
inline void sign(const std::filesystem::path& folder) {
  auto manifest = nlohmann::ordered_json::parse(read(folder / "bundle.json"));
  const std::string golden = read(folder / "golden.json");
  manifest["files"]["golden.json"]["bytes"] = golden.size();
  manifest["files"]["golden.json"]["sha256"] = sha256_hex(golden.data(), golden.size());
  const std::string zeros(64, '0');
  manifest["manifest_sha256"] = zeros;
  std::string text = manifest.dump();
  const std::string digest = sha256_hex(text.data(), text.size());
  text.replace(text.rfind(zeros), zeros.size(), digest);
  write(folder / "bundle.json", text);
}

// A copy of a bundle whose golden.json can be changed.
class WrongGoldenTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* test = testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = std::filesystem::path(testing::TempDir()) / (std::string("wrong_golden_") + test);
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(test_bundle("top_down"), folder_);
    golden_ = nlohmann::json::parse(read(folder_ / "golden.json"));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  GoldenReport verify() {
    write(folder_ / "golden.json", golden_.dump());
    sign(folder_);
    const auto pipeline = open_pipeline(folder_.string(), 1);
    if (pipeline == nullptr) return {};
    const auto report = pipeline->verify_golden();
    EXPECT_TRUE(report.ok()) << report.status().message();
    return report.ok() ? report.value() : GoldenReport();
  }

  std::filesystem::path folder_;
  nlohmann::json golden_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_TESTS_CPP_WRONG_GOLDEN_H_
