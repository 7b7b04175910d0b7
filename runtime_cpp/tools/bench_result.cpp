#include "bench_result.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "bench_plan.h"
#include "bench_record.h"
#include "bench_statistics.h"

namespace edgepose::tools {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", &parts);
  return text;
}

Json phase_document(const RecordedPhase& phase, const Json& plan,
                    const std::vector<std::string>& columns) {
  Json planned = Json::object();
  for (const Json& candidate : plan.at("phases"))
    if (candidate.at("name") == phase.name) planned = candidate;
  Json summary = Json::object();
  for (size_t column = 0; column < columns.size(); ++column) {
    std::vector<int64_t> values;
    for (const auto& row : phase.rows) values.push_back(row[column]);
    const bool used =
        std::any_of(values.begin(), values.end(), [](int64_t value) { return value != 0; });
    if (columns[column] != "at_ns" && used) summary[columns[column]] = summarise(values);
  }
  const double seconds = phase.seconds();
  Json fps;
  if (seconds > 0) fps = static_cast<double>(phase.rows.size()) / seconds;
  return {{"name", phase.name},
          {"mode", planned.value("mode", Json())},
          {"persons", planned.value("persons", Json())},
          {"fps_asked", planned.value("fps", Json())},
          {"frames", phase.rows.size()},
          {"dropped", phase.dropped},
          {"complete", phase.complete},
          {"seconds", seconds},
          {"fps", fps},
          {"summary", summary},
          {"samples", phase.rows}};
}

Json document_of(const Bundle& bundle, const Json& plan, const BenchRecord& record,
                 const BenchPlace& place) {
  const Json manifest = Json::parse(bundle.manifest_text());
  const Json& start = record.start;
  Json models = Json::object();
  for (const auto& [role, model] : manifest.at("models").items()) models[role] = model.at("name");
  Json device = place.device;
  device["facts"] = start.at("facts");
  Json runner = place.runner;
  runner["abi"] = start.at("facts").at("abi");
  runner["version"] = start.at("runner");
  Json phases = Json::array();
  Json warmup_samples = Json::array();
  for (const RecordedPhase& phase : record.phases) {
    if (phase.name == "warmup") {
      for (const auto& row : phase.rows) warmup_samples.push_back(row[1]);
    } else if (!phase.rows.empty()) {
      phases.push_back(phase_document(phase, plan, record.columns));
    }
  }
  const Findings found = check(record);
  return {{"format", "edgepose-bench-result"},
          {"format_version", 1},
          {"created", utc_now()},
          {"created_by", "edgepose " EDGEPOSE_VERSION},
          {"command", place.command},
          {"valid", found.invalid.empty()},
          {"invalid", found.invalid},
          {"warnings", found.warnings},
          {"emulated", start.at("facts").at("emulated")},
          {"bundle",
           {{"name", manifest.at("name")},
            {"digest", manifest.at("manifest_sha256")},
            {"backend", manifest.at("backend")},
            {"precision", manifest.at("precision")},
            {"pipeline", manifest.at("pipeline").at("type")},
            {"models", models}}},
          {"device", device},
          {"runner", runner},
          {"engine",
           {{"backend", start.at("backend")},
            {"device", start.at("device")},
            {"threads", start.at("threads")},
            {"affinity", start.at("affinity")}}},
          {"plan", plan},
          {"load_ns", start.at("load_ns")},
          {"cold_ns", record.cold_ns},
          {"warmup", record.warmup},
          {"rss_peak_bytes", record.end.value("rss_peak_bytes", Json())},
          {"golden", record.golden},
          {"columns", record.columns},
          {"phases", phases},
          {"warmup_samples", warmup_samples},
          {"states", record.states},
          {"results", record.results}};
}

}  // namespace

Result<Json> result_document(const Bundle& bundle, const std::string& plan,
                             const std::string& journal, const BenchPlace& place) {
  EDGEPOSE_RETURN_IF_ERROR(parse_plan(plan, "the plan").status());
  EDGEPOSE_ASSIGN_OR_RETURN(const BenchRecord record, read_record(journal));
  try {
    if (record.start.at("digest") != bundle.digest()) {
      return Status(Code::kInvalidArgument, "the journal is of another bundle",
                    "do not change a bundle while it is measured");
    }
    return document_of(bundle, Json::parse(plan), record, place);
  } catch (const Json::exception& error) {
    return Status(Code::kInvalidArgument,
                  std::string("no result can be made of this run: ") + error.what(),
                  "measure again");
  }
}

std::string describe(const Json& document) {
  std::string text;
  char line[256];
  if (document.at("emulated").get<bool>())
    text += "EMULATED: the times are no measurement of a device and are not shown\n";
  for (const Json& phase : document.at("phases")) {
    if (document.at("emulated").get<bool>()) break;
    const Json& total = phase.at("summary").at("total_ns");
    const auto ms = [&](const char* percentile, const char* member) {
      return total.at(percentile).at(member).get<double>() / 1e6;
    };
    std::snprintf(line, sizeof line,
                  "%s: median %.2f ms (%.2f to %.2f), 95 %% below %.2f ms, %zu frames\n",
                  phase.at("name").get<std::string>().c_str(), ms("p50", "value"), ms("p50", "low"),
                  ms("p50", "high"), ms("p95", "value"), phase.at("samples").size());
    text += line;
  }
  for (const Json& finding : document.at("invalid"))
    text += "INVALID, " + finding.at("rule").get<std::string>() + ": " +
            finding.at("message").get<std::string>() + "\n";
  for (const Json& finding : document.at("warnings"))
    text += "note: " + finding.at("message").get<std::string>() + "\n";
  return text;
}

}  // namespace edgepose::tools
