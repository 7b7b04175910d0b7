#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "bench_record.h"

namespace edgepose::tools {
namespace {

constexpr size_t kBurstFrames = 1024;
constexpr double kBurstSeconds = 60;
constexpr double kMaxOthersCpu = 0.25;
constexpr double kMaxSlowdown = 1.10;
constexpr double kMinClockShare = 0.90;
constexpr double kMaxLowSamples = 0.25;
constexpr size_t kMinQuarter = 8;
constexpr int64_t kSteadyFrames = 60;  // three medians of 20 frames, which have to agree

template <typename... Values>
std::string text(const char* format, Values... values) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

void add(Json* list, const char* rule, const std::string& message) {
  list->push_back({{"rule", rule}, {"message", message}});
}

double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void check_burst(const BenchRecord& record, Json* invalid) {
  static const RecordedPhase none{};
  const RecordedPhase* found = record.phase("burst");
  const auto& rows = (found == nullptr ? none : *found).rows;
  double seconds = 0;
  for (const auto& row : rows) seconds += static_cast<double>(row[1]) / 1e9;
  if (rows.size() < kBurstFrames && seconds < kBurstSeconds * 0.99) {
    add(invalid, "short",
        text("the burst has %zu frames in %.1f s; %zu frames or %.0f s are demanded", rows.size(),
             seconds, kBurstFrames, kBurstSeconds));
  }
  if (!record.end.value("complete", false)) {
    const std::string reason = record.end.value("reason", "");
    add(invalid, "incomplete",
        "the run ended early: " + (reason.empty() ? "the connection was lost" : reason));
  }
  const Json& golden = record.golden;
  if (!golden.value("passed", false)) {
    const double shift_px =
        std::max(golden.value("keypoint_max_px", 0.0), golden.value("box_max_px", 0.0));
    const std::string message =
        golden.empty() ? "the run ended before the bundle's golden picture was compared"
        : shift_px > golden.at("tolerance_px").get<double>()
            ? text("the bundle's golden picture is off by up to %.3g px on this device", shift_px)
            : "other persons are found in the bundle's golden picture on this device";
    add(invalid, "wrong result", message);
  }
  if (!record.warmup.value("stable", false)) {
    const int64_t frames = record.warmup.value("frames", kSteadyFrames);
    add(invalid, "unstable",
        frames < kSteadyFrames
            ? "the warm-up ended after " + std::to_string(frames) + " frames, " +
                  std::to_string(kSteadyFrames) +
                  " are needed to see whether the median settles: give --warmup-seconds"
            : "the running median did not settle during the warm-up");
  }
  const size_t quarter = rows.size() / 4;
  if (quarter < kMinQuarter) return;
  std::vector<double> first;
  std::vector<double> last;
  for (size_t i = 0; i < quarter; ++i) {
    first.push_back(static_cast<double>(rows[i][1]));
    last.push_back(static_cast<double>(rows[rows.size() - 1 - i][1]));
  }
  const double slowdown = middle(last) / middle(first);
  if (middle(last) > middle(first) * kMaxSlowdown) {
    add(invalid, "slowed down",
        text("the end of the burst is %.2f times as slow as its beginning", slowdown));
  }
}

void check_load(const BenchRecord& record, Json* invalid) {
  for (const bool in_burst : {true, false}) {
    std::vector<double> others;
    for (size_t i = 0; i < record.states.size(); ++i) {
      const Json& state = record.states[i];
      const std::string phase = record.phase_of_state(i);
      if (state.contains("others_cpu") && !phase.empty() && phase != "warmup" &&
          (phase == "burst") == in_burst)
        others.push_back(state["others_cpu"].get<double>());
    }
    if (others.empty() || middle(others) <= kMaxOthersCpu) continue;
    add(invalid, "busy",
        text("other programs used %.2f processors %s the burst", middle(others),
             in_burst ? "during" : "after"));
    return;
  }
}

// Of the soak, or of all but it: what that is there to show takes nothing from what was measured
// before it.
void check_clock(const BenchRecord& record, bool soak, Json* list) {
  struct Sample {
    bool in_soak;
    double khz;
  };
  std::vector<Sample> clocks;
  for (size_t i = 0; i < record.states.size(); ++i) {
    const Json& state = record.states[i];
    const std::string phase = record.phase_of_state(i);
    // Between paced frames the processor sleeps, and a governor lowers its clock: no throttling.
    if (!state.contains("khz") || phase == "paced") continue;
    const auto khz = state["khz"].get<std::vector<double>>();
    double best = -1;
    for (const Json& cpu : record.start.at("affinity")) {
      const auto index = cpu.get<size_t>();
      if (index < khz.size()) best = std::max(best, khz[index]);
    }
    if (best >= 0) clocks.push_back({phase == "soak", best});
  }
  // The clock rises when the work begins, so the fastest is the reference, and what was before is
  // left out.
  double best = 0;
  for (const Sample& sample : clocks) best = std::max(best, sample.khz);
  const auto is_low = [best](double khz) { return khz < best * kMinClockShare; };
  bool risen = false;
  std::vector<double> worked;
  for (const Sample& sample : clocks) {
    risen = risen || !is_low(sample.khz);
    if (risen && sample.in_soak == soak) worked.push_back(sample.khz);
  }
  if (worked.empty()) return;
  const auto low = static_cast<size_t>(std::count_if(worked.begin(), worked.end(), is_low));
  const char* when = soak ? "during the soak " : "";
  if (is_low(worked.back())) {
    add(list, "throttled",
        text("%sthe clock fell from %.2f to %.2f GHz", when, best / 1e6, worked.back() / 1e6));
  } else if (static_cast<double>(low) >
             std::max(1.0, static_cast<double>(worked.size()) * kMaxLowSamples)) {
    add(list, "throttled",
        text("%sthe clock fell from %.2f to %.2f GHz for %zu of %zu samples", when, best / 1e6,
             *std::min_element(worked.begin(), worked.end()) / 1e6, low, worked.size()));
  }
}

void check_fallback(const BenchRecord& record, Json* invalid) {
  const Json& facts = record.start.at("facts");
  const auto abi = facts.at("abi").get<std::string>();
  const auto features = facts.at("features").get<std::vector<std::string>>();
  const bool arm = abi.rfind("aarch64", 0) == 0 || abi.rfind("armv7", 0) == 0;
  if (arm && record.start.at("backend") == "ncnn" && record.start.at("precision") == "fp16" &&
      std::find(features.begin(), features.end(), "asimdhp") == features.end()) {
    add(invalid, "fallback", "the processor has no fp16 arithmetic: the fp16 bundle ran at fp32");
  }
}

void warn(const BenchRecord& record, Json* warnings) {
  std::set<std::string> governors;
  for (const Json& name : record.start.at("facts").at("governors"))
    governors.insert(name.get<std::string>());
  if (governors.size() > governors.count("performance")) {
    std::string list;
    for (const std::string& name : governors) list += (list.empty() ? "" : ", ") + name;
    add(warnings, "governor", "the clock is free to change: " + list);
  }
  if (std::none_of(record.states.begin(), record.states.end(),
                   [](const Json& state) { return state.contains("others_cpu"); })) {
    add(warnings, "load", "what other programs used is not known: a busy device is not noticed");
  }
  for (const Json& state : record.states) {
    if (state.value("battery", "") != "Charging") continue;
    add(warnings, "charging", "the battery was charging, which heats the device");
    break;
  }
  for (const RecordedPhase& phase : record.phases) {
    if (phase.dropped == 0) continue;
    add(warnings, "dropped",
        phase.name + ": " + std::to_string(phase.dropped) + " frames came while one was worked on");
  }
}

}  // namespace

Findings check(const BenchRecord& record) {
  Findings found;
  if (record.start.at("facts").at("emulated").get<bool>()) {
    add(&found.invalid, "emulated",
        "the processor is emulated: the times say nothing about a device");
  }
  check_burst(record, &found.invalid);
  check_load(record, &found.invalid);
  check_clock(record, /*soak=*/false, &found.invalid);
  check_fallback(record, &found.invalid);
  check_clock(record, /*soak=*/true, &found.warnings);
  warn(record, &found.warnings);
  return found;
}

}  // namespace edgepose::tools
