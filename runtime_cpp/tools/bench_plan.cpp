#include "bench_plan.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <ios>
#include <iterator>
#include <nlohmann/json.hpp>
#include <type_traits>

namespace edgepose::tools {
namespace {

using Json = nlohmann::json;

// Whether the device has a processor shows when it is asked for.
constexpr int kMaxCpu = 1 << 20;
// More than all phases together may ask for.
constexpr double kMaxLimit_s = 1e9;

// Thrown and caught in this file only: a member with a value out of its range.
struct OutOfRange {
  std::string what;
};

// `name` is for the message. The value is compared as a double: one that T cannot hold must not
// wrap round to one that is in the range.
template <typename T>
T in_range(const Json& json, const char* name, T least, T most) {
  if (!json.is_number()) throw OutOfRange{std::string(name) + " is no number"};
  const double value = json.get<double>();
  const bool whole = !std::is_integral_v<T> || value == std::floor(value);
  if (!whole || !(value >= static_cast<double>(least) && value <= static_cast<double>(most))) {
    throw OutOfRange{std::string(name) + " is " + json.dump() + ", not " +
                     (whole ? "" : "an integer ") + "in " + Json(least).dump() + " to " +
                     Json(most).dump()};
  }
  return static_cast<T>(value);
}

template <typename T>
T number(const Json& json, const char* name, T least, T most) {
  return in_range(json.at(name), name, least, most);
}

BoxXyxy box_of(const Json& json) {
  if (!json.is_array() || json.size() != 4) throw OutOfRange{"a box is not [x1, y1, x2, y2]"};
  return {json[0].get<float>(), json[1].get<float>(), json[2].get<float>(), json[3].get<float>()};
}

BenchPicture picture_of(const Json& json) {
  BenchPicture picture;
  picture.path = json.at("path").get<std::string>();
  picture.width_px = number(json, "width_px", 1, 32767);
  picture.height_px = number(json, "height_px", 1, 32767);
  for (const Json& box : json.at("boxes")) picture.boxes.push_back(box_of(box));
  return picture;
}

BenchPhase phase_of(const Json& json) {
  BenchPhase phase;
  phase.name = json.at("name").get<std::string>();
  const std::string mode = json.at("mode").get<std::string>();
  if (mode != "closed" && mode != "paced") throw OutOfRange{"mode is \"" + mode + "\""};
  phase.paced = mode == "paced";
  if (phase.paced) phase.fps = number(json, "fps", 0.1, 10000.0);
  phase.persons = number(json, "persons", 0, 256);
  phase.first = number<int64_t>(json, "first", 0, int64_t{1} << 40);
  phase.frames = number<int64_t>(json, "frames", 1, int64_t{1} << 40);
  phase.seconds = number(json, "seconds", 0.0, 1e6);
  return phase;
}

BenchPlan plan_of(const Json& json) {
  BenchPlan plan;
  plan.threads = number(json, "threads", 1, 256);
  plan.device = json.at("device").get<std::string>();
  for (const Json& cpu : json.at("cpus")) plan.cpus.push_back(in_range(cpu, "cpus", 0, kMaxCpu));
  for (const Json& picture : json.at("pictures")) plan.pictures.push_back(picture_of(picture));
  plan.warmup_window = number(json, "warmup_window", 2, 100000);
  plan.warmup_tolerance = number(json, "warmup_tolerance", 0.0, 10.0);
  plan.warmup_seconds = number(json, "warmup_seconds", 0.0, 1e6);
  plan.limit_s = number(json, "limit_s", 1.0, kMaxLimit_s);
  for (const Json& phase : json.at("phases")) plan.phases.push_back(phase_of(phase));
  return plan;
}

}  // namespace

Result<BenchPlan> read_plan(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const Status unreadable(Code::kIo, "the plan " + path + " cannot be read");
  if (!file) return unreadable;
  std::string text;
  try {  // a folder opens like a file, and only reading fails
    text.assign(std::istreambuf_iterator<char>(file), {});
  } catch (const std::ios_base::failure&) {
    return unreadable;
  }
  return parse_plan(text, "the plan " + path);
}

Result<BenchPlan> parse_plan(const std::string& text, const std::string& where) {
  try {
    return plan_of(Json::parse(text));
  } catch (const OutOfRange& error) {
    return Status(Code::kInvalidArgument, where + ": " + error.what, "edgepose bench writes plans");
  } catch (const Json::exception& error) {
    return Status(Code::kInvalidArgument, where + ": " + error.what(),
                  "edgepose bench writes plans");
  }
}

nlohmann::ordered_json usual_plan(PipelineSettings::Type type, int threads, bool quick) {
  constexpr int64_t kFrames = 1024;
  constexpr double kFps = 30;
  constexpr double kSlack_s = 900;
  const bool takes_boxes =
      type == PipelineSettings::Type::kTopDown || type == PipelineSettings::Type::kPose;
  const int first = takes_boxes ? 1 : 0;
  const int64_t frames = quick ? 40 : kFrames;
  const double seconds = quick ? 5 : 60;
  const double warmup_s = quick ? 2 : 15;
  double all_s = kSlack_s + warmup_s;
  auto phases = nlohmann::ordered_json::array();
  const auto add = [&](const std::string& name, int persons, int64_t count, double limit_s) {
    all_s += limit_s;
    phases.push_back({{"name", name},
                      {"mode", "closed"},
                      {"persons", persons},
                      {"frames", count},
                      {"seconds", limit_s},
                      {"first", 0}});
  };
  add("burst", first, frames, seconds);
  if (!quick) {
    const double short_s = seconds / 5;
    if (takes_boxes) {
      for (const int persons : {2, 4, 8})
        add("persons-" + std::to_string(persons), persons, frames / 5, short_s);
    }
    add("paced", first, std::llround(kFps * short_s), short_s);
    phases.back()["mode"] = "paced";
    phases.back()["fps"] = kFps;
  }
  return {{"threads", threads},         {"device", "CPU"},     {"cpus", Json::array()},
          {"pictures", Json::array()},  {"warmup_window", 20}, {"warmup_tolerance", 0.02},
          {"warmup_seconds", warmup_s}, {"limit_s", all_s},    {"phases", phases}};
}

}  // namespace edgepose::tools
