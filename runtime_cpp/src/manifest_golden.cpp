#include "manifest_parts.h"

namespace edgepose {
namespace {

constexpr NumberRange kPixelRange{-1e6, 1e6};
constexpr NumberRange kMetreRange{-1e6, 1e6};

std::vector<Detection> read_detections(const JsonNode& node, JsonReader* reader) {
  std::vector<Detection> detections;
  for (const JsonNode& row : reader->items(node, 0, 10000)) {
    const std::vector<JsonNode> values = reader->items(row, 6, 6);
    if (!reader->ok()) break;
    Detection detection;
    detection.box = {reader->number(values[0], kPixelRange), reader->number(values[1], kPixelRange),
                     reader->number(values[2], kPixelRange),
                     reader->number(values[3], kPixelRange)};
    detection.score = reader->number(values[4], {0, 1});
    detection.label = static_cast<int>(reader->integer(values[5], 0, 9999));
    detections.push_back(detection);
  }
  return detections;
}

std::vector<std::vector<Keypoint>> read_poses(const JsonNode& node, size_t people, size_t keypoints,
                                              JsonReader* reader) {
  std::vector<std::vector<Keypoint>> poses;
  for (const JsonNode& person : reader->items(node, people, people)) {
    std::vector<Keypoint> pose;
    for (const JsonNode& point : reader->items(person, keypoints, keypoints)) {
      const std::vector<JsonNode> values = reader->items(point, 3, 3);
      if (!reader->ok()) return poses;
      pose.push_back({reader->number(values[0], kPixelRange),
                      reader->number(values[1], kPixelRange), reader->number(values[2], {0, 1e6})});
    }
    poses.push_back(std::move(pose));
  }
  return poses;
}

std::vector<std::vector<float>> read_depths(const JsonNode& node, size_t people, size_t keypoints,
                                            JsonReader* reader) {
  std::vector<std::vector<float>> depths;
  for (const JsonNode& person : reader->items(node, people, people)) {
    std::vector<float> row;
    for (const JsonNode& depth : reader->items(person, keypoints, keypoints))
      row.push_back(reader->number(depth, kMetreRange));
    depths.push_back(std::move(row));
  }
  return depths;
}

// The value is null exactly where the pipeline does not give it.
void expect_presence(const JsonNode& node, bool present, JsonReader* reader) {
  if (!reader->ok()) return;
  if (present && node.value->is_null())
    reader->fail(node, "an array, because the pipeline gives this");
  if (!present && !node.value->is_null())
    reader->fail(node, "null, because the pipeline does not give this");
}

}  // namespace

Status read_golden_expectation(const std::string& text, Manifest* manifest) {
  EDGEPOSE_ASSIGN_OR_RETURN(const nlohmann::json document,
                            parse_json(text, manifest->golden_expected));
  GoldenSpec& golden = manifest->golden;
  JsonReader reader;
  const JsonNode root{&document, manifest->golden_expected};
  const auto role = [&](const char* name) {
    const auto found = manifest->models.find(name);
    return found == manifest->models.end() ? nullptr : &found->second;
  };
  const BundleModel* one_stage = role("one_stage");
  const BundleModel* pose = one_stage != nullptr ? one_stage : role("pose");
  const auto* simcc = pose == nullptr ? nullptr : std::get_if<SimccHead>(&pose->head);
  if (simcc != nullptr && simcc->has_z) {
    reader.expect_members(root, {"detections", "poses"}, {"depths"});
  } else {
    reader.expect_members(root, {"detections", "poses"});
  }

  const JsonNode detections = reader.member(root, "detections");
  golden.has_detections = one_stage != nullptr || role("detector") != nullptr;
  expect_presence(detections, golden.has_detections, &reader);
  if (golden.has_detections) golden.detections = read_detections(detections, &reader);

  const JsonNode poses = reader.member(root, "poses");
  golden.has_poses = pose != nullptr;
  expect_presence(poses, golden.has_poses, &reader);
  if (golden.has_poses) {
    const size_t people = one_stage != nullptr ? golden.detections.size() : golden.boxes.size();
    const size_t keypoints = static_cast<size_t>(keypoint_count(pose->head));
    golden.poses = read_poses(poses, people, keypoints, &reader);
    if (reader.ok() && document.contains("depths"))
      golden.depths = read_depths(reader.member(root, "depths"), people, keypoints, &reader);
  }
  return reader.status();
}

}  // namespace edgepose
