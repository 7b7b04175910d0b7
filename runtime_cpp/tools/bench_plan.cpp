#include "bench_plan.h"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace edgepose::tools {
namespace {

using Json = nlohmann::json;

// Thrown and caught in this file only: a member with a value out of its range.
struct OutOfRange {
  std::string what;
};

template <typename T>
T number(const Json& json, const char* name, T least, T most) {
  const Json& member = json.at(name);
  if (!member.is_number()) throw OutOfRange{std::string(name) + " is no number"};
  const T value = member.get<T>();
  if (!(value >= least && value <= most)) {
    throw OutOfRange{std::string(name) + " is " + member.dump() + ", not in " + Json(least).dump() +
                     " to " + Json(most).dump()};
  }
  return value;
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
  for (const Json& cpu : json.at("cpus")) plan.cpus.push_back(cpu.get<int>());
  for (const Json& picture : json.at("pictures")) plan.pictures.push_back(picture_of(picture));
  plan.warmup_window = number(json, "warmup_window", 2, 100000);
  plan.warmup_tolerance = number(json, "warmup_tolerance", 0.0, 10.0);
  plan.warmup_seconds = number(json, "warmup_seconds", 0.0, 1e6);
  plan.limit_s = number(json, "limit_s", 1.0, 1e6);
  for (const Json& phase : json.at("phases")) plan.phases.push_back(phase_of(phase));
  return plan;
}

}  // namespace

Result<BenchPlan> read_plan(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(Code::kIo, "the plan " + path + " cannot be read");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  try {
    return plan_of(Json::parse(text));
  } catch (const OutOfRange& error) {
    return Status(Code::kInvalidArgument, "the plan " + path + ": " + error.what,
                  "edgepose bench writes plans");
  } catch (const Json::exception& error) {
    return Status(Code::kInvalidArgument, "the plan " + path + ": " + error.what(),
                  "edgepose bench writes plans");
  }
}

}  // namespace edgepose::tools
