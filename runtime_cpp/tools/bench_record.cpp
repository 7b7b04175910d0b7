#include "bench_record.h"

#include <algorithm>
#include <sstream>

namespace edgepose::tools {
namespace {

// Thrown and caught in this file only.
struct Wrong {
  std::string what;
};

class Reader {
 public:
  void add(const Json& entry) {
    const auto event = entry.at("event").get<std::string>();
    if (event == "start") {
      start(entry);
    } else if (record.start.is_null()) {
      throw Wrong{"does not begin with a start line"};
    } else if (event == "samples") {
      samples(entry);
    } else if (event == "phase") {
      RecordedPhase& phase = phase_of(entry.at("phase").get<std::string>());
      phase.dropped += entry.at("dropped").get<int64_t>();
      phase.duration_ns += entry.at("duration_ns").get<int64_t>();
      phase.begun = phase.rows.size();
      phase.complete = entry.at("complete").get<bool>();
      assign_states(phase.name);
    } else if (event == "state") {
      Json state = entry;
      state["session"] = 1;
      record.states.push_back(std::move(state));
    } else if (event == "cold") {
      record.cold_ns = entry.at("total_ns").get<int64_t>();
    } else if (event == "result") {
      record.results.push_back(members(entry, {"picture", "persons"}));
    } else if (event == "golden") {
      record.golden = members(entry, {"passed", "tolerance_px", "keypoint_max_px", "box_max_px"});
    } else if (event == "warmup") {
      record.warmup = members(entry, {"frames", "stable", "duration_ns"});
    } else if (event == "end") {
      record.end = entry;
    } else {
      throw Wrong{"has a line \"" + event + "\""};
    }
  }

  void finish() {
    if (!record.phases.empty()) assign_states(record.phases.back().name);
  }

  BenchRecord record;

 private:
  // Of the states that no phase has yet.
  void assign_states(const std::string& phase) {
    record.state_phases.resize(record.states.size(), phase);
  }

  static Json members(const Json& entry, std::initializer_list<const char*> names) {
    Json found = Json::object();
    for (const char* name : names) found[name] = entry.at(name);
    return found;
  }

  void start(const Json& entry) {
    if (!record.start.is_null()) throw Wrong{"has two runs"};
    if (entry.at("format") != "edgepose-bench-1") throw Wrong{"is of another format"};
    for (const char* name : {"runner", "digest", "backend", "precision", "device", "threads",
                             "affinity", "facts", "load_ns"}) {
      entry.at(name);
    }
    record.start = entry;
    record.columns = entry.at("columns").get<std::vector<std::string>>();
    if (record.columns.size() < 2 || record.columns[1] != "total_ns")
      throw Wrong{"has other columns"};
  }

  RecordedPhase& phase_of(const std::string& name) {
    for (RecordedPhase& phase : record.phases)
      if (phase.name == name) return phase;
    record.phases.emplace_back();
    record.phases.back().name = name;
    return record.phases.back();
  }

  void samples(const Json& entry) {
    RecordedPhase& phase = phase_of(entry.at("phase").get<std::string>());
    if (entry.at("first").get<size_t>() != phase.rows.size()) throw Wrong{"lacks samples"};
    for (const Json& row : entry.at("rows")) {
      phase.rows.push_back(row.get<std::vector<int64_t>>());
      if (phase.rows.back().size() != record.columns.size())
        throw Wrong{"has a sample without all columns"};
    }
  }
};

}  // namespace

double RecordedPhase::seconds() const {
  int64_t open_ns = 0;
  if (!complete && begun < rows.size()) open_ns = rows.back()[0] + rows.back()[1] - rows[begun][0];
  return static_cast<double>(duration_ns + open_ns) / 1e9;
}

std::string BenchRecord::phase_of_state(size_t state) const {
  return state < state_phases.size() ? state_phases[state] : "";
}

const RecordedPhase* BenchRecord::phase(const std::string& name) const {
  const auto found =
      std::find_if(phases.begin(), phases.end(),
                   [&](const RecordedPhase& candidate) { return candidate.name == name; });
  return found == phases.end() ? nullptr : &*found;
}

Result<BenchRecord> read_record(const std::string& journal) {
  const auto wrong = [](const std::string& what) {
    return Status(Code::kInvalidArgument, "the journal " + what, "measure again");
  };
  Reader reader;
  std::istringstream lines(journal);
  try {
    for (std::string line; std::getline(lines, line);) reader.add(Json::parse(line));
  } catch (const Wrong& error) {
    return wrong(error.what);
  } catch (const Json::exception& error) {
    return wrong(std::string("has a damaged line: ") + error.what());
  }
  if (reader.record.start.is_null()) return wrong("is empty");
  reader.finish();
  return std::move(reader.record);
}

}  // namespace edgepose::tools
