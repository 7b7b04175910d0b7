#include <algorithm>
#include <set>

#include "edgepose/sha256.h"
#include "manifest_parts.h"

namespace edgepose {
namespace {

using nlohmann::json;

constexpr int64_t kFormatVersion = 1;
constexpr int64_t kMaxFileBytes = int64_t{1} << 40;
constexpr size_t kMaxNameChars = 100;

std::vector<std::string> roles_of(PipelineSettings::Type type) {
  switch (type) {
    case PipelineSettings::Type::kTopDown:
      return {"detector", "pose"};
    case PipelineSettings::Type::kPose:
      return {"pose"};
    case PipelineSettings::Type::kDetect:
      return {"detector"};
    case PipelineSettings::Type::kOneStage:
      return {"one_stage"};
  }
  return {};
}

// Says whether the text is what was written: its digest, with these digits zeroed, is the one that
// it states. Every version of the format has this rule, so a damaged version number is damage and
// not a newer version.
Status check_manifest_digest(const std::string& text, const json& document) {
  const auto stated = document.find("manifest_sha256");
  if (stated == document.end() || !stated->is_string()) return Status();
  const std::string digest = stated->get<std::string>();
  const size_t at = text.find(digest);
  if (!is_sha256(digest)) return Status();
  if (at == std::string::npos || text.find(digest, at + 1) != std::string::npos) {
    return Status(Code::kInvalidBundle,
                  "manifest_sha256 does not stand exactly once in bundle.json",
                  "The bundle was edited; make it again with edgepose convert.");
  }
  std::string zeroed = text;
  std::fill_n(zeroed.begin() + static_cast<std::ptrdiff_t>(at), digest.size(), '0');
  const std::string actual = sha256_hex(zeroed.data(), zeroed.size());
  if (actual == digest) return Status();
  return Status(
      Code::kChecksumMismatch, "manifest_sha256 is " + digest + ", but bundle.json has " + actual,
      "bundle.json was changed after it was written; make the bundle again with edgepose convert.");
}

Status check_version(const JsonNode& root) {
  JsonReader reader;
  reader.choice(reader.member(root, "format"), {"edgepose-bundle"});
  const JsonNode node = reader.member(root, "format_version");
  const int64_t version = reader.integer(node, 1, 1000000);
  EDGEPOSE_RETURN_IF_ERROR(reader.status());
  if (version > kFormatVersion) {
    return Status(
        Code::kUnsupported,
        "format_version is " + std::to_string(version) + "; this EdgePose reads version " +
            std::to_string(kFormatVersion),
        "Upgrade EdgePose, or make the bundle again with the installed edgepose convert.");
  }
  return Status();
}

// A bundle's name becomes a part of paths (calibrated bundles, results of benchmarks), so it must
// be plain: the rule of edgepose/bundle/manifest.py.
std::string read_name(const JsonNode& node, JsonReader* reader) {
  static const char allowed[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
  const std::string name = reader->text(node);
  if (!reader->ok()) return {};
  const bool plain = name.size() <= kMaxNameChars &&
                     name.find_first_not_of(allowed) == std::string::npos &&
                     name.find_first_of("._+-") != 0;
  if (!plain) {
    reader->fail(node,
                 "1 to 100 letters, digits and . _ + -, of which the first is a letter or digit");
    return {};
  }
  return name;
}

PipelineSettings read_pipeline(const JsonNode& node, JsonReader* reader) {
  PipelineSettings settings{};
  reader->expect_members(
      node, {"type", "person_label", "box_score_threshold", "keypoint_score_threshold"});
  const std::string type =
      reader->choice(reader->member(node, "type"), {"top_down", "pose", "detect", "one_stage"});
  settings.type = type == "top_down" ? PipelineSettings::Type::kTopDown
                  : type == "detect" ? PipelineSettings::Type::kDetect
                  : type == "pose"   ? PipelineSettings::Type::kPose
                                     : PipelineSettings::Type::kOneStage;
  settings.person_label =
      static_cast<int>(reader->integer(reader->member(node, "person_label"), 0, 9999));
  settings.box_score_threshold =
      reader->number(reader->member(node, "box_score_threshold"), {0, 1});
  settings.keypoint_score_threshold =
      reader->number(reader->member(node, "keypoint_score_threshold"), {0, 100});
  return settings;
}

void read_models(const JsonNode& node, Manifest* manifest, JsonReader* reader) {
  const std::vector<std::string> roles = roles_of(manifest->pipeline.type);
  for (const std::string& name : reader->member_names(node)) {
    if (std::find(roles.begin(), roles.end(), name) == roles.end()) {
      reader->fail(node.path + "." + name, "is not a role that pipeline.type has");
    }
  }
  for (const std::string& role : roles) {
    manifest->models.emplace(
        role, read_model(reader->member(node, role), role, manifest->backend, reader));
  }
  if (!reader->ok()) return;
  const auto detector = manifest->models.find("detector");
  const int labels =
      detector == manifest->models.end()
          ? 1
          : static_cast<int>(std::get<BoxHead>(detector->second.head).classes.size());
  if (manifest->pipeline.person_label >= labels) {
    reader->fail("pipeline.person_label", "is " + std::to_string(manifest->pipeline.person_label) +
                                              "; expected less than the number of classes, " +
                                              std::to_string(labels));
  }
}

void read_files(const JsonNode& node, Manifest* manifest, JsonReader* reader) {
  const std::vector<std::string> names = reader->member_names(node);
  if (names.empty() || names.size() > 64) return reader->fail(node, "an object of 1 to 64 files");
  for (const std::string& name : names) {
    const std::string path = node.path + "[\"" + name + "\"]";
    if (!is_file_name(name) || name == "bundle.json") {
      reader->fail(path,
                   "has a name that no file of a bundle may have (letters, digits, . _ + -, no "
                   "leading dot)");
      return;
    }
    const JsonNode item{&(*node.value)[name], path};
    reader->expect_members(item, {"bytes", "sha256"});
    Manifest::File file;
    file.bytes = reader->integer(reader->member(item, "bytes"), 1, kMaxFileBytes);
    file.sha256 = reader->sha256(reader->member(item, "sha256"));
    manifest->files.emplace(name, file);
  }
}

void read_golden(const JsonNode& node, Manifest* manifest, JsonReader* reader) {
  GoldenSpec& golden = manifest->golden;
  reader->expect_members(
      node, {"picture", "width_px", "height_px", "boxes_xyxy", "expected", "tolerance_px"});
  golden.picture_path = reader->file_name(reader->member(node, "picture"));
  golden.width_px = static_cast<int>(reader->integer(reader->member(node, "width_px"), 1, 32767));
  golden.height_px = static_cast<int>(reader->integer(reader->member(node, "height_px"), 1, 32767));
  const bool needs_boxes = manifest->models.count("pose") > 0;
  const JsonNode boxes = reader->member(node, "boxes_xyxy");
  for (const JsonNode& item : reader->items(boxes, needs_boxes ? 1 : 0, needs_boxes ? 1000 : 0)) {
    float corners[4] = {};
    size_t i = 0;
    for (const JsonNode& corner : reader->items(item, 4, 4))
      corners[i++] = reader->number(corner, {-1e6, 1e6});
    if (reader->ok() && !(corners[2] > corners[0] && corners[3] > corners[1])) {
      reader->fail(item.path, "has no area: x2 must be above x1, and y2 above y1");
    }
    golden.boxes.push_back({corners[0], corners[1], corners[2], corners[3]});
  }
  manifest->golden_expected = reader->file_name(reader->member(node, "expected"));
  golden.tolerance_px = reader->number(reader->member(node, "tolerance_px"), {0, 10, true});
}

// Members that the runtime does not use but the format defines.
void check_history(const JsonNode& root, JsonReader* reader) {
  for (const JsonNode& entry : reader->items(reader->member(root, "lineage"), 0, 1000)) {
    reader->expect_members(entry, {"step", "tool", "version", "arguments", "inputs", "outputs"});
    for (const char* name : {"step", "tool", "version"}) reader->text(reader->member(entry, name));
    reader->member_names(reader->member(entry, "arguments"));
    for (const char* name : {"inputs", "outputs"}) {
      const JsonNode digests = reader->member(entry, name);
      for (const std::string& file : reader->member_names(digests)) {
        const json key(file);
        reader->text(JsonNode{&key, digests.path + " (a name)"});
        reader->sha256(JsonNode{&*digests.value->find(file), digests.path + "[\"" + file + "\"]"});
      }
    }
  }
  const JsonNode verification = reader->member(root, "verification");
  reader->expect_members(verification, {"stages"});
  for (const JsonNode& stage : reader->items(reader->member(verification, "stages"), 0, 1000)) {
    reader->member_names(stage);
  }
  const JsonNode license = reader->member(root, "license");
  reader->expect_members(license, {"weights", "notes"});
  reader->text(reader->member(license, "weights"));
  for (const JsonNode& note : reader->items(reader->member(license, "notes"), 0, 100))
    reader->text(note);
}

// Every file that a member names is listed, and every listed file is named by a member.
void check_file_references(const Manifest& manifest, JsonReader* reader) {
  std::set<std::string> used;
  const auto use = [&](const std::string& member, const std::string& name) {
    if (manifest.files.count(name) == 0)
      reader->fail(member, "is \"" + name + "\", which \"files\" does not list");
    used.insert(name);
  };
  for (const auto& [role, model] : manifest.models) {
    for (const auto& [file_role, name] : model.files.paths)
      use("models." + role + ".files." + file_role, name);
  }
  use("golden.picture", manifest.golden.picture_path);
  use("golden.expected", manifest.golden_expected);
  for (const auto& [name, file] : manifest.files) {
    if (used.count(name) == 0)
      reader->fail("files[\"" + name + "\"]", "is used by no model and not by golden");
  }
  if (!reader->ok()) return;
  const int64_t bytes = manifest.files.at(manifest.golden.picture_path).bytes;
  const int64_t expected = int64_t{3} * manifest.golden.width_px * manifest.golden.height_px;
  if (bytes != expected) {
    reader->fail("files[\"" + manifest.golden.picture_path + "\"].bytes",
                 "is " + std::to_string(bytes) + "; expected " + std::to_string(expected) +
                     ", the golden picture's width_px * height_px * 3");
  }
}

}  // namespace

Result<Manifest> parse_manifest(const std::string& text) {
  EDGEPOSE_ASSIGN_OR_RETURN(const json document, parse_json(text, "bundle.json"));
  const JsonNode root{&document, ""};
  if (!document.is_object()) {
    return Status(Code::kInvalidBundle, "bundle.json is not a JSON object",
                  "Give a folder made by edgepose convert.");
  }
  EDGEPOSE_RETURN_IF_ERROR(check_manifest_digest(text, document));
  EDGEPOSE_RETURN_IF_ERROR(check_version(root));
  JsonReader reader;
  reader.expect_members(
      root,
      {"format", "format_version", "name", "created_by", "backend", "precision", "pipeline",
       "models", "files", "golden", "lineage", "verification", "license", "manifest_sha256"},
      {"tracking"});
  Manifest manifest{};
  manifest.digest = reader.sha256(reader.member(root, "manifest_sha256"));
  manifest.name = read_name(reader.member(root, "name"), &reader);
  reader.text(reader.member(root, "created_by"));
  manifest.backend =
      reader.choice(reader.member(root, "backend"), {"ncnn", "openvino", "onnx", "rknn", "fake"});
  manifest.precision =
      reader.choice(reader.member(root, "precision"), {"fp32", "fp16", "bf16", "int8", "mixed"});
  manifest.pipeline = read_pipeline(reader.member(root, "pipeline"), &reader);
  if (document.contains("tracking"))
    manifest.tracking = read_tracking(reader.member(root, "tracking"), &reader);
  read_models(reader.member(root, "models"), &manifest, &reader);
  read_files(reader.member(root, "files"), &manifest, &reader);
  read_golden(reader.member(root, "golden"), &manifest, &reader);
  check_history(root, &reader);
  if (reader.ok()) check_file_references(manifest, &reader);
  if (!reader.ok()) return reader.status();
  return manifest;
}

}  // namespace edgepose
