#include "manifest_parts.h"

#include <set>

namespace edgepose {
namespace {

constexpr NumberRange kUnitRange{0, 1};
constexpr NumberRange kBoxPaddingRange{1, 4};
constexpr size_t kMaxKeypoints = 1024;
constexpr int kMaxCandidates = 1000000;
constexpr int kMaxDetections = 10000;

template <typename T, size_t N, typename Read>
std::array<T, N> read_array(const JsonNode& node, JsonReader* reader, Read read) {
  std::array<T, N> values{};
  size_t i = 0;
  for (const JsonNode& item : reader->items(node, N, N)) values[i++] = read(item);
  return values;
}

int read_int(const JsonNode& node, int64_t low, int64_t high, JsonReader* reader) {
  return static_cast<int>(reader->integer(node, low, high));
}

std::vector<int> read_strides(const JsonNode& node, JsonReader* reader) {
  std::vector<int> strides;
  for (const JsonNode& item : reader->items(node, 1, 8)) {
    const int stride = read_int(item, 1, 256, reader);
    if (!strides.empty() && stride <= strides.back()) reader->fail(item, "strides that rise");
    strides.push_back(stride);
  }
  return strides;
}

std::vector<std::string> read_names(const JsonNode& node, size_t at_most, JsonReader* reader) {
  std::vector<std::string> names;
  for (const JsonNode& item : reader->items(node, 1, at_most)) names.push_back(reader->text(item));
  return names;
}

std::vector<std::pair<int, int>> read_pairs(const JsonNode& node, size_t at_most, int count,
                                            JsonReader* reader) {
  std::vector<std::pair<int, int>> pairs;
  for (const JsonNode& item : reader->items(node, 0, at_most)) {
    const auto pair = read_array<int, 2>(
        item, reader, [&](const JsonNode& n) { return read_int(n, 0, count - 1, reader); });
    if (reader->ok() && pair[0] == pair[1])
      reader->fail(item.path, "joins point " + std::to_string(pair[0]) + " with itself");
    pairs.emplace_back(pair[0], pair[1]);
  }
  return pairs;
}

void read_points(const JsonNode& node, KeypointSet* head, JsonReader* reader) {
  reader->expect_members(node, {"name", "keypoints", "skeleton", "flip_pairs", "sigmas"});
  reader->text(reader->member(node, "name"));
  const JsonNode keypoints = reader->member(node, "keypoints");
  head->keypoints = read_names(keypoints, kMaxKeypoints, reader);
  std::set<std::string> seen;
  for (const std::string& name : head->keypoints) {
    if (!seen.insert(name).second) reader->fail(keypoints.path, "has \"" + name + "\" twice");
  }
  const int count = static_cast<int>(head->keypoints.size());
  head->skeleton = read_pairs(reader->member(node, "skeleton"), 4096, count, reader);
  const JsonNode flip_pairs = reader->member(node, "flip_pairs");
  head->flip_pairs = read_pairs(flip_pairs, 512, count, reader);
  std::set<int> flipped;
  for (const auto& [left, right] : head->flip_pairs) {
    if (!flipped.insert(left).second || !flipped.insert(right).second) {
      reader->fail(flip_pairs.path, "has a point in two pairs: [" + std::to_string(left) + ", " +
                                        std::to_string(right) + "]");
    }
  }
  const JsonNode sigmas = reader->member(node, "sigmas");
  for (const JsonNode& item :
       reader->items(sigmas, head->keypoints.size(), head->keypoints.size())) {
    head->sigmas.push_back(reader->number(item, {0, 10, true}));
  }
}

template <typename T, typename Read>
Result<T> parse_part(const std::string& text, const char* what, Read read) {
  EDGEPOSE_ASSIGN_OR_RETURN(const nlohmann::json document, parse_json(text, what));
  JsonReader reader;
  T value = read(JsonNode{&document, what}, &reader);
  if (!reader.ok()) return reader.status();
  return value;
}

}  // namespace

Preprocess read_preprocess(const JsonNode& node, JsonReader* reader) {
  Preprocess spec{};
  reader->expect_members(
      node, {"resize", "input_hw", "color", "mean", "std", "pad_value", "box_padding"});
  const std::string resize =
      reader->choice(reader->member(node, "resize"), {"letterbox", "letterbox_centred", "affine"});
  spec.resize = resize == "affine"              ? Preprocess::Resize::kAffine
                : resize == "letterbox_centred" ? Preprocess::Resize::kLetterboxCentred
                                                : Preprocess::Resize::kLetterbox;
  const auto input_hw =
      read_array<int, 2>(reader->member(node, "input_hw"), reader,
                         [&](const JsonNode& item) { return read_int(item, 16, 8192, reader); });
  spec.input_height_px = input_hw[0];
  spec.input_width_px = input_hw[1];
  spec.rgb = reader->choice(reader->member(node, "color"), {"rgb", "bgr"}) == "rgb";
  spec.mean = read_array<float, 3>(reader->member(node, "mean"), reader, [&](const JsonNode& item) {
    return reader->number(item, {0, 255});
  });
  spec.std_dev =
      read_array<float, 3>(reader->member(node, "std"), reader, [&](const JsonNode& item) {
        return reader->number(item, {0, 255, true});
      });
  spec.pad_value =
      read_array<int, 3>(reader->member(node, "pad_value"), reader,
                         [&](const JsonNode& item) { return read_int(item, 0, 255, reader); });
  const JsonNode box_padding = reader->member(node, "box_padding");
  spec.box_padding = reader->number(box_padding, kBoxPaddingRange);
  if (spec.resize != Preprocess::Resize::kAffine && *box_padding.value != 1) {
    reader->fail(box_padding, "1, because a letterbox takes the whole picture");
  }
  return spec;
}

SimccHead read_simcc_head(const JsonNode& node, JsonReader* reader) {
  SimccHead head{};
  reader->expect_members(node, {"type", "split_ratio", "score", "z_range", "points"});
  reader->choice(reader->member(node, "type"), {"simcc"});
  head.split_ratio = reader->number(reader->member(node, "split_ratio"), {0, 16, true});
  reader->choice(reader->member(node, "score"), {"min"});
  const JsonNode z_range = reader->member(node, "z_range");
  head.has_z = reader->ok() && !z_range.value->is_null();
  if (head.has_z) head.z_range = reader->number(z_range, {0, 100, true});
  read_points(reader->member(node, "points"), &head, reader);
  return head;
}

BoxHead read_box_head(const JsonNode& node, JsonReader* reader) {
  BoxHead head{};
  reader->expect_members(node, {"type", "strides", "exp_on_distances", "classes", "score_threshold",
                                "nms_iou_threshold", "max_candidates_per_level", "max_detections"});
  reader->choice(reader->member(node, "type"), {"rtmdet"});
  head.strides = read_strides(reader->member(node, "strides"), reader);
  head.exp_on_distances = reader->boolean(reader->member(node, "exp_on_distances"));
  head.classes = read_names(reader->member(node, "classes"), 10000, reader);
  head.score_threshold = reader->number(reader->member(node, "score_threshold"), kUnitRange);
  head.nms_iou_threshold = reader->number(reader->member(node, "nms_iou_threshold"), kUnitRange);
  head.max_candidates_per_level =
      read_int(reader->member(node, "max_candidates_per_level"), 1, kMaxCandidates, reader);
  head.max_detections = read_int(reader->member(node, "max_detections"), 1, kMaxDetections, reader);
  return head;
}

RtmoHead read_rtmo_head(const JsonNode& node, JsonReader* reader) {
  RtmoHead head{};
  reader->expect_members(
      node, {"type", "strides", "points", "score_threshold", "nms_iou_threshold", "max_candidates",
             "max_detections", "box_padding", "x_bins", "y_bins"});
  reader->choice(reader->member(node, "type"), {"rtmo"});
  head.strides = read_strides(reader->member(node, "strides"), reader);
  read_points(reader->member(node, "points"), &head, reader);
  head.score_threshold = reader->number(reader->member(node, "score_threshold"), kUnitRange);
  head.nms_iou_threshold = reader->number(reader->member(node, "nms_iou_threshold"), kUnitRange);
  head.max_candidates = read_int(reader->member(node, "max_candidates"), 1, kMaxCandidates, reader);
  head.max_detections = read_int(reader->member(node, "max_detections"), 1, kMaxDetections, reader);
  head.box_padding = reader->number(reader->member(node, "box_padding"), kBoxPaddingRange);
  head.x_bins = read_int(reader->member(node, "x_bins"), 1, 4096, reader);
  head.y_bins = read_int(reader->member(node, "y_bins"), 1, 4096, reader);
  return head;
}

Result<Preprocess> parse_preprocess(const std::string& text) {
  return parse_part<Preprocess>(text, "preprocess", read_preprocess);
}
Result<SimccHead> parse_simcc_head(const std::string& text) {
  return parse_part<SimccHead>(text, "head", read_simcc_head);
}
Result<BoxHead> parse_box_head(const std::string& text) {
  return parse_part<BoxHead>(text, "head", read_box_head);
}
Result<RtmoHead> parse_rtmo_head(const std::string& text) {
  return parse_part<RtmoHead>(text, "head", read_rtmo_head);
}
Result<TrackingSettings> parse_tracking(const std::string& text) {
  Result<TrackingSettings> settings = parse_part<TrackingSettings>(text, "tracking", read_tracking);
  if (settings.ok()) return settings;
  // They are a caller's: no bundle is damaged.
  return Status(Code::kInvalidArgument, settings.status().message(),
                "give all members of \"tracking\", as docs/bundle-format.md lists them");
}

int keypoint_count(const Head& head) {
  if (const auto* simcc = std::get_if<SimccHead>(&head))
    return static_cast<int>(simcc->keypoints.size());
  if (const auto* rtmo = std::get_if<RtmoHead>(&head))
    return static_cast<int>(rtmo->keypoints.size());
  return 0;
}

}  // namespace edgepose
