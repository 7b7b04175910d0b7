#include "edgepose/bundle.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <clocale>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "edgepose/sha256.h"

namespace edgepose {
namespace {

using nlohmann::json;

const std::string kBundles = std::string(EDGEPOSE_SOURCE_DIR) + "/tests/bundles/";

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string manifest_of(const std::string& name) {
  return read(kBundles + "v1/" + name + "/bundle.json");
}

std::string sign(json manifest) {
  const std::string zeros(64, '0');
  manifest["manifest_sha256"] = zeros;
  std::string text = manifest.dump();
  const size_t at = text.rfind("\"manifest_sha256\":\"" + zeros) + 19;
  return text.replace(at, 64, sha256_hex(text.data(), text.size()));
}

Bundle open(const std::string& name) {
  Result<Bundle> bundle = Bundle::open(kBundles + "v1/" + name);
  EXPECT_TRUE(bundle.ok()) << bundle.status().message();
  return std::move(bundle).value();
}

TEST(Bundle, GivesWhatTheManifestStates) {
  const Bundle bundle = open("top_down");
  EXPECT_EQ(bundle.name(), "top_down");
  EXPECT_EQ(bundle.backend(), "fake");
  EXPECT_EQ(bundle.precision(), "fp32");
  EXPECT_EQ(bundle.manifest_text(), manifest_of("top_down"));
  EXPECT_EQ(bundle.digest().size(), 64U);
  EXPECT_NE(bundle.manifest_text().find("\"manifest_sha256\": \"" + bundle.digest() + "\""),
            std::string::npos);
  EXPECT_EQ(bundle.pipeline().type, PipelineSettings::Type::kTopDown);
  EXPECT_EQ(bundle.pipeline().person_label, 0);
  EXPECT_FLOAT_EQ(bundle.pipeline().box_score_threshold, 0.6F);
  EXPECT_FLOAT_EQ(bundle.pipeline().keypoint_score_threshold, 0.3F);
  EXPECT_EQ(bundle.model("one_stage"), nullptr);

  const BundleModel* detector = bundle.model("detector");
  ASSERT_NE(detector, nullptr);
  EXPECT_EQ(detector->preprocess.resize, Preprocess::Resize::kLetterbox);
  EXPECT_FALSE(detector->preprocess.rgb);
  EXPECT_EQ(detector->preprocess.pad_value, (std::array<int, 3>{114, 114, 114}));
  const auto& boxes = std::get<BoxHead>(detector->head);
  EXPECT_EQ(boxes.strides, (std::vector<int>{8, 16}));
  EXPECT_TRUE(boxes.exp_on_distances);
  EXPECT_EQ(boxes.classes, (std::vector<std::string>{"person", "dog"}));
  EXPECT_EQ(boxes.max_candidates_per_level, 100);
  ASSERT_EQ(detector->files.outputs.size(), 4u);
  EXPECT_EQ(detector->files.outputs[2].name, "box_8");
  EXPECT_EQ(detector->files.outputs[2].tensor, "out2");
  EXPECT_EQ(detector->files.outputs[2].dims, (std::vector<int64_t>{-1, 4, 8, 12}));

  const BundleModel* pose = bundle.model("pose");
  ASSERT_NE(pose, nullptr);
  EXPECT_EQ(pose->name, "tiny-pose");
  EXPECT_EQ(pose->files.paths.at("fake"), bundle.path() + "/tiny-pose.fake");
  EXPECT_EQ(pose->files.inputs[0].tensor, "in0");
  EXPECT_EQ(pose->preprocess.input_height_px, 32);
  EXPECT_EQ(pose->preprocess.input_width_px, 24);
  EXPECT_TRUE(pose->preprocess.rgb);
  EXPECT_FLOAT_EQ(pose->preprocess.mean[1], 116.28F);
  EXPECT_FLOAT_EQ(pose->preprocess.std_dev[2], 57.375F);
  EXPECT_FLOAT_EQ(pose->preprocess.box_padding, 1.25F);
  const auto& simcc = std::get<SimccHead>(pose->head);
  EXPECT_FLOAT_EQ(simcc.split_ratio, 2.0F);
  EXPECT_FALSE(simcc.has_z);
  EXPECT_EQ(simcc.keypoints[2], "right_eye");
  EXPECT_EQ(simcc.skeleton[1], (std::pair<int, int>{0, 2}));
  EXPECT_EQ(simcc.flip_pairs[0], (std::pair<int, int>{1, 2}));
  EXPECT_FLOAT_EQ(simcc.sigmas[0], 0.026F);
}

TEST(Bundle, GivesTheGoldenResults) {
  const Bundle bundle = open("top_down");
  const GoldenSpec& golden = bundle.golden();
  EXPECT_EQ(golden.picture_path, bundle.path() + "/golden.bgr");
  EXPECT_EQ(golden.width_px, 40);
  EXPECT_EQ(golden.height_px, 30);
  EXPECT_FLOAT_EQ(golden.tolerance_px, 0.01F);
  EXPECT_TRUE(golden.has_detections);
  EXPECT_EQ(golden.detections.size(), 10u);
  EXPECT_EQ(golden.detections[2].label, 1);
  EXPECT_TRUE(golden.has_poses);
  ASSERT_EQ(golden.poses.size(), golden.boxes.size());
  EXPECT_EQ(golden.poses[1].size(), 3u);
  EXPECT_FLOAT_EQ(golden.boxes[1].y1, 1.25F);
  EXPECT_FALSE(open("pose").golden().has_detections);
  EXPECT_FALSE(open("detect").golden().has_poses);
}

TEST(Bundle, ReadsTheOtherHeads) {
  const Bundle three_d = open("pose_3d");
  const auto& simcc = std::get<SimccHead>(three_d.model("pose")->head);
  EXPECT_TRUE(simcc.has_z);
  EXPECT_FLOAT_EQ(simcc.z_range, 2.17F);
  EXPECT_EQ(three_d.pipeline().type, PipelineSettings::Type::kPose);

  const Bundle one_stage = open("one_stage");
  EXPECT_EQ(one_stage.pipeline().type, PipelineSettings::Type::kOneStage);
  const BundleModel* model = one_stage.model("one_stage");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->preprocess.resize, Preprocess::Resize::kLetterboxCentred);
  EXPECT_EQ(model->files.paths.at("dcc"), one_stage.path() + "/tiny-rtmo.dcc");
  const auto& rtmo = std::get<RtmoHead>(model->head);
  EXPECT_EQ(rtmo.strides, (std::vector<int>{16, 32}));
  EXPECT_EQ(rtmo.keypoints.size(), 3u);
  EXPECT_EQ(rtmo.max_candidates, 100);
  EXPECT_FLOAT_EQ(rtmo.box_padding, 1.25F);
  EXPECT_EQ(rtmo.x_bins, 6);
  EXPECT_EQ(rtmo.y_bins, 8);
}

TEST(Bundle, IsUsableAfterAMove) {
  Bundle first = open("pose");
  const std::string digest = first.digest();
  const Bundle second = std::move(first);
  EXPECT_EQ(second.digest(), digest);
  EXPECT_NE(second.model("pose"), nullptr);
}

TEST(Bundle, IsNamedByWhatIsWrongWithIt) {
  const std::string folder = ::testing::TempDir() + "damaged_bundle";
  ASSERT_TRUE(mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST);
  std::ofstream(folder + "/bundle.json") << "{";
  const Status status = Bundle::open(folder).status();
  EXPECT_EQ(status.code(), Code::kInvalidBundle);
  EXPECT_EQ(status.message().find(folder + ": "), 0U) << status.message();
}

TEST(Manifest, AcceptsEveryValidCase) {
  for (const json& item : json::parse(read(kBundles + "valid.json"))) {
    const json manifest =
        json::parse(manifest_of(item.value("base", "top_down"))).patch(item.at("patch"));
    const Result<Manifest> result = parse_manifest(sign(manifest));
    EXPECT_TRUE(result.ok()) << item.at("name") << ": " << result.status().message();
  }
}

TEST(Manifest, RefusesEveryInvalidPatch) {
  int count = 0;
  for (const json& item : json::parse(read(kBundles + "invalid.json"))) {
    const bool about_the_disk = item.at("expect_code") == "checksum_mismatch";
    if (!item.contains("patch") || item.contains("sign") || about_the_disk) continue;
    const json manifest =
        json::parse(manifest_of(item.value("base", "top_down"))).patch(item.at("patch"));
    const Result<Manifest> result = parse_manifest(sign(manifest));
    ASSERT_FALSE(result.ok()) << item.at("name");
    EXPECT_EQ(code_name(result.status().code()), item.at("expect_code")) << item.at("name");
    const std::string part = item.at("expect_in_message");
    EXPECT_NE(result.status().message().find(part), std::string::npos) << result.status().message();
    EXPECT_FALSE(result.status().hint().empty());
    ++count;
  }
  EXPECT_GT(count, 200);
}

TEST(Manifest, RefusesEveryPrefixOfItself) {
  const std::string text = manifest_of("pose");
  const size_t end = text.find_last_of('}');
  for (size_t length = 0; length <= end; length += 7) {
    EXPECT_FALSE(parse_manifest(text.substr(0, length)).ok()) << length;
  }
}

TEST(Parts, AreReadAlone) {
  const json models = json::parse(manifest_of("top_down"))["models"];
  const Result<Preprocess> preprocess = parse_preprocess(models["pose"]["preprocess"].dump());
  ASSERT_TRUE(preprocess.ok()) << preprocess.status().message();
  EXPECT_EQ(preprocess.value().input_width_px, 24);
  const Result<SimccHead> simcc = parse_simcc_head(models["pose"]["head"].dump());
  ASSERT_TRUE(simcc.ok()) << simcc.status().message();
  const Result<BoxHead> boxes = parse_box_head(models["detector"]["head"].dump());
  ASSERT_TRUE(boxes.ok()) << boxes.status().message();
  const json one_stage = json::parse(manifest_of("one_stage"))["models"]["one_stage"];
  const Result<RtmoHead> rtmo = parse_rtmo_head(one_stage["head"].dump());
  ASSERT_TRUE(rtmo.ok()) << rtmo.status().message();
}

TEST(Parts, NameTheMemberThatIsWrong) {
  const Status not_json = parse_preprocess("{").status();
  EXPECT_EQ(not_json.code(), Code::kInvalidBundle);
  EXPECT_NE(not_json.message().find("preprocess"), std::string::npos) << not_json.message();
  const Status missing = parse_simcc_head("{\"type\": \"simcc\"}").status();
  EXPECT_NE(missing.message().find("head.split_ratio is missing"), std::string::npos)
      << missing.message();
  json other = json::parse(manifest_of("top_down"))["models"]["pose"]["head"];
  const Status wrong_type = parse_box_head(other.dump()).status();
  EXPECT_EQ(wrong_type.code(), Code::kInvalidBundle);
  other["split_ratio"] = -1;
  const Status wrong_value = parse_simcc_head(other.dump()).status();
  EXPECT_NE(wrong_value.message().find("head.split_ratio is -1; expected a number above 0"),
            std::string::npos)
      << wrong_value.message();
}

// A host may have called setlocale. Decimal points: a comma, and one of two bytes.
class Locales : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { std::setlocale(LC_ALL, "C"); }
};

TEST_P(Locales, ChangeNoNumber) {
  json head = json::parse(manifest_of("top_down"))["models"]["pose"]["head"];
  head["split_ratio"] = 2.5;
  const std::string good = head.dump();
  head["split_ratio"] = -0.5;
  const std::string bad = head.dump();
  if (std::setlocale(LC_ALL, GetParam()) == nullptr) {
    GTEST_SKIP() << "optional: the locale is not installed";
  }
  const std::string point = std::localeconv()->decimal_point;
  const Result<SimccHead> read = parse_simcc_head(good);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read.value().split_ratio, 2.5f);
  EXPECT_EQ(parse_simcc_head(bad).status().message(),
            "head.split_ratio is -0.5; expected a number above 0 and up to 16");
  EXPECT_EQ(std::localeconv()->decimal_point, point) << "the host keeps its locale";
}
INSTANTIATE_TEST_SUITE_P(WithAnotherDecimalPoint, Locales,
                         testing::Values("C", "de_DE.UTF-8", "ps_AF.UTF-8"));

}  // namespace
}  // namespace edgepose
