#ifndef EDGEPOSE_SRC_JSON_READER_H_
#define EDGEPOSE_SRC_JSON_READER_H_

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgepose/status.h"

namespace edgepose {

constexpr size_t kMaxJsonBytes = 16u << 20;
constexpr int kMaxJsonDepth = 32;

// Parses strict JSON: no duplicate members, no byte order mark, valid UTF-8, at most kMaxJsonBytes
// and kMaxJsonDepth. Error: kInvalidBundle; `what` names the text in its message.
Result<nlohmann::json> parse_json(const std::string& text, const std::string& what);

// A place in a document and its name, for example models.pose.head.split_ratio.
struct JsonNode {
  const nlohmann::json* value;
  std::string path;
};

// The limits of a number. above: the lower limit itself is excluded.
struct NumberRange {
  double low;
  double high;
  bool above = false;
};

// Reads typed values. The first defect is kept as status(); from then on every function returns an
// empty value, so that a caller checks once, at the end.
class JsonReader {
 public:
  const Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }
  // `defect` continues the sentence that begins with the path: "is missing", "is 3; expected 4".
  void fail(const std::string& path, const std::string& defect);
  void fail(const JsonNode& node,
            const std::string& expected);  // "<path> is <value>; expected <expected>"

  // Checks that the node is an object with exactly these members, the optional ones perhaps.
  void expect_members(const JsonNode& node, std::initializer_list<const char*> names,
                      std::initializer_list<const char*> optional = {});
  JsonNode member(const JsonNode& node, const std::string& name);
  std::vector<std::string> member_names(
      const JsonNode& object);  // of a node that must be an object
  std::vector<JsonNode> items(const JsonNode& node, size_t at_least, size_t at_most);

  bool boolean(const JsonNode& node);
  int64_t integer(const JsonNode& node, int64_t low, int64_t high);
  float number(const JsonNode& node, const NumberRange& range);
  std::string text(const JsonNode& node);  // 1..1000 characters without control characters
  std::string choice(const JsonNode& node, std::initializer_list<const char*> values);
  std::string sha256(const JsonNode& node);
  std::string file_name(const JsonNode& node);

 private:
  Status status_;
};

bool is_sha256(const std::string& text);
bool is_file_name(const std::string& text);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_JSON_READER_H_
