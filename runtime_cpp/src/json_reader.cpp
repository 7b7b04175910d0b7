#include "json_reader.h"

#include <locale.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edgepose {
namespace {

using nlohmann::json;

constexpr char kHint[] =
    "The bundle is damaged or was edited; make it again with edgepose convert.";
constexpr size_t kShownBytes = 60;
constexpr size_t kMaxTextCharacters = 1000;
constexpr size_t kMaxFileNameBytes = 128;

// nlohmann reads numbers with strtod, and keeps one byte of a decimal point that may have two. The
// C locale, for this thread and as long as one of these lives.
class CLocale {
 public:
  CLocale() {
    static const locale_t c = newlocale(LC_ALL_MASK, "C", nullptr);
    before_ = uselocale(c);
  }
  ~CLocale() { uselocale(before_); }
  CLocale(const CLocale&) = delete;
  CLocale& operator=(const CLocale&) = delete;

 private:
  locale_t before_;
};

std::string shorten(std::string text) {
  if (text.size() <= kShownBytes) return text;
  size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

// Builds the document, and stops at a duplicate member or at too deep a nesting, which nlohmann's
// own builder allows.
class DocumentBuilder final : public nlohmann::json_sax<json> {
 public:
  json document;
  std::string defect;

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    json& object = *open_.back();
    if (object.contains(name)) {
      defect = "has the member \"" + shorten(name) + "\" twice";
      return false;
    }
    slot_ = &object[name];
    return true;
  }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    defect = "is not JSON: error at byte " + std::to_string(position);
    return false;
  }

 private:
  template <typename T>
  json* place(T&& value) {
    json* target = slot_;
    if (open_.empty()) {
      target = &document;
    } else if (open_.back()->is_array()) {
      open_.back()->push_back(nullptr);
      target = &open_.back()->back();
    }
    *target = std::forward<T>(value);
    return target;
  }
  template <typename T>
  bool put(T&& value) {
    place(std::forward<T>(value));
    return true;
  }
  bool open(json container) {
    if (open_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      defect = "is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels";
      return false;
    }
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  // Pointers into `document`: an array grows only while its last element is complete, so none of
  // them moves.
  std::vector<json*> open_;
  json* slot_ = nullptr;
};

std::string shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array of " + std::to_string(value.size());
  return shorten(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string plain(double value) {
  std::string text = json(value).dump();  // unlike std::to_string's the same in every locale
  const size_t point = text.size() - 2;
  return text.compare(point, 2, ".0") == 0 ? text.substr(0, point) : text;
}

}  // namespace

Result<json> parse_json(const std::string& text, const std::string& what) {
  if (text.size() > kMaxJsonBytes) {
    return Status(Code::kInvalidBundle,
                  what + " has " + std::to_string(text.size()) + " bytes; at most " +
                      std::to_string(kMaxJsonBytes) + " are allowed",
                  kHint);
  }
  if (text.compare(0, 3, "\xEF\xBB\xBF") == 0) {
    return Status(Code::kInvalidBundle, what + " begins with a byte order mark", kHint);
  }
  const CLocale locale;
  DocumentBuilder builder;
  if (!json::sax_parse(text, &builder)) {
    return Status(Code::kInvalidBundle, what + " " + builder.defect, kHint);
  }
  return std::move(builder.document);
}

void JsonReader::fail(const std::string& path, const std::string& defect) {
  if (ok()) status_ = Status(Code::kInvalidBundle, path + " " + defect, kHint);
}

void JsonReader::fail(const JsonNode& node, const std::string& expected) {
  if (ok()) fail(node.path, "is " + shown(*node.value) + "; expected " + expected);
}

void JsonReader::expect_members(const JsonNode& node, std::initializer_list<const char*> names,
                                std::initializer_list<const char*> optional) {
  if (!ok()) return;
  if (!node.value->is_object()) return fail(node, "an object");
  const std::string prefix = node.path.empty() ? "" : node.path + ".";
  for (const char* name : names) {
    if (!node.value->contains(name)) return fail(prefix + name, "is missing");
  }
  for (const auto& item : node.value->items()) {
    const auto same = [&](const char* name) { return item.key() == name; };
    if (std::none_of(names.begin(), names.end(), same) &&
        std::none_of(optional.begin(), optional.end(), same)) {
      return fail(prefix + shorten(item.key()), "is not a member that the format knows");
    }
  }
}

JsonNode JsonReader::member(const JsonNode& node, const std::string& name) {
  static const json nothing;
  JsonNode found{&nothing, node.path.empty() ? name : node.path + "." + name};
  if (!ok()) return found;
  if (!node.value->is_object()) {
    fail(node, "an object");
  } else if (auto at = node.value->find(name); at != node.value->end()) {
    found.value = &*at;
  } else {
    fail(found.path, "is missing");
  }
  return found;
}

std::vector<std::string> JsonReader::member_names(const JsonNode& object) {
  std::vector<std::string> names;
  if (!ok()) return names;
  if (!object.value->is_object()) {
    fail(object, "an object");
    return names;
  }
  for (const auto& item : object.value->items()) names.push_back(item.key());
  return names;
}

std::vector<JsonNode> JsonReader::items(const JsonNode& node, size_t at_least, size_t at_most) {
  std::vector<JsonNode> found;
  if (!ok()) return found;
  if (!node.value->is_array() || node.value->size() < at_least || node.value->size() > at_most) {
    const std::string count = at_least == at_most
                                  ? std::to_string(at_least)
                                  : std::to_string(at_least) + " to " + std::to_string(at_most);
    fail(node, "an array of " + count);
    return found;
  }
  found.reserve(node.value->size());
  for (size_t i = 0; i < node.value->size(); ++i) {
    found.push_back({&(*node.value)[i], node.path + "[" + std::to_string(i) + "]"});
  }
  return found;
}

bool JsonReader::boolean(const JsonNode& node) {
  if (!ok()) return false;
  if (!node.value->is_boolean()) fail(node, "true or false");
  return ok() && node.value->get<bool>();
}

int64_t JsonReader::integer(const JsonNode& node, int64_t low, int64_t high) {
  if (!ok()) return low;
  const json& value = *node.value;
  // JSON Schema calls 2.0 an integer, and double holds every limit used here exactly.
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) ||
      number != std::floor(number)) {
    fail(node, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
    return low;
  }
  return static_cast<int64_t>(number);
}

float JsonReader::number(const JsonNode& node, const NumberRange& range) {
  if (!ok()) return 0;
  const double value = node.value->is_number() ? node.value->get<double>() : std::nan("");
  const bool inside = value <= range.high && (range.above ? value > range.low : value >= range.low);
  // A positive number that float32 rounds to 0 would pass the check and then divide by zero.
  if (!inside || (range.above && !(static_cast<float>(value) > static_cast<float>(range.low)))) {
    const std::string limits = range.above
                                   ? "above " + plain(range.low) + " and up to " + plain(range.high)
                                   : "from " + plain(range.low) + " to " + plain(range.high);
    fail(node, "a number " + limits);
    return 0;
  }
  return static_cast<float>(value);
}

std::string JsonReader::text(const JsonNode& node) {
  if (!ok()) return {};
  bool good = node.value->is_string();
  if (good) {
    const auto& value = node.value->get_ref<const std::string&>();
    size_t characters = 0;
    for (unsigned char byte : value) {
      if (byte < 0x20 || byte == 0x7F) good = false;
      if ((byte & 0xC0) != 0x80) ++characters;
    }
    good = good && characters >= 1 && characters <= kMaxTextCharacters;
    if (good) return value;
  }
  fail(node, "a text of 1 to 1000 characters without control characters");
  return {};
}

std::string JsonReader::choice(const JsonNode& node, std::initializer_list<const char*> values) {
  if (!ok()) return {};
  std::string list;
  for (const char* value : values) {
    if (node.value->is_string() && *node.value == value) return value;
    list += (list.empty() ? "\"" : ", \"") + std::string(value) + "\"";
  }
  fail(node, (values.size() > 1 ? "one of " : "") + list);
  return {};
}

std::string JsonReader::sha256(const JsonNode& node) {
  if (!ok()) return {};
  if (node.value->is_string() && is_sha256(node.value->get_ref<const std::string&>())) {
    return node.value->get<std::string>();
  }
  fail(node, "64 lower-case hex digits");
  return {};
}

std::string JsonReader::file_name(const JsonNode& node) {
  if (!ok()) return {};
  if (node.value->is_string() && is_file_name(node.value->get_ref<const std::string&>())) {
    return node.value->get<std::string>();
  }
  fail(node, "a plain file name (letters, digits, . _ + -, no leading dot, no \"..\")");
  return {};
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_file_name(const std::string& text) {
  static const char allowed[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";
  return !text.empty() && text.size() <= kMaxFileNameBytes &&
         text.find_first_not_of(allowed) == std::string::npos &&
         std::strchr(".+-", text[0]) == nullptr && text.find("..") == std::string::npos;
}

}  // namespace edgepose
