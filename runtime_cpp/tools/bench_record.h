#ifndef EDGEPOSE_TOOLS_BENCH_RECORD_H_
#define EDGEPOSE_TOOLS_BENCH_RECORD_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgepose/status.h"

namespace edgepose::tools {

using Json = nlohmann::ordered_json;

// One series of frames, as a journal holds it.
struct RecordedPhase {
  std::string name;
  std::vector<std::vector<int64_t>> rows;  // values of BenchRecord::columns
  int64_t dropped = 0;
  int64_t duration_ns = 0;  // of the rows before begun
  size_t begun = 0;
  bool complete = false;

  // Of a phase whose end was not written: to the end of its last sample.
  double seconds() const;
};

// A whole journal; edgepose/bench/journal.py reads the same lines.
struct BenchRecord {
  Json start;
  std::vector<std::string> columns;
  std::vector<RecordedPhase> phases;  // the warm-up is one of them
  Json states = Json::array();
  std::vector<std::string> state_phases;  // during which phase each of them was taken
  Json results = Json::array();
  Json golden = Json::object();
  Json warmup = Json::object();
  Json end = Json::object();
  Json cold_ns;

  // Null where the journal has no phase of this name.
  const RecordedPhase* phase(const std::string& name) const;
  // The name of the phase during which a state was taken; empty where no phase had begun.
  std::string phase_of_state(size_t state) const;
};

// Error: kInvalidArgument for lines that no runner writes.
Result<BenchRecord> read_record(const std::string& journal);

// Why a measurement is INVALID, and what a reader should know besides: lists of {rule, message}.
// edgepose/bench/validity.py has the same rules, and two more that need a device profile.
struct Findings {
  Json invalid = Json::array();
  Json warnings = Json::array();
};
Findings check(const BenchRecord& record);

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_BENCH_RECORD_H_
