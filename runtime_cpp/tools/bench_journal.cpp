#include "bench_journal.h"

#include <cerrno>
#include <cstring>
#include <iterator>

#include "edgepose/span.h"

namespace edgepose::tools {
namespace {

constexpr int64_t kWriteEvery_ns = 250'000'000;

// Without the total: that of a row is the frame's own.
Span<const StageTiming> stages() { return {kStageTimings, std::size(kStageTimings) - 1}; }

}  // namespace

Result<std::unique_ptr<BenchJournal>> BenchJournal::open(Reader reader, const std::string& path) {
  std::FILE* file = nullptr;
  if (!path.empty()) {
    file = std::fopen(path.c_str(), "wb");
    if (file == nullptr)
      return Status(Code::kIo, path + " cannot be written: " + std::strerror(errno));
  }
  return std::unique_ptr<BenchJournal>(new BenchJournal(std::move(reader), file));
}

int64_t BenchJournal::now_ns() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() -
                                                              start_)
      .count();
}

void BenchJournal::put(const std::string& text) {
  // The file first: what the reader has seen is always in it too.
  if (file_ != nullptr && (std::fputs(text.c_str(), file_.get()) < 0 || std::fflush(file_.get()))) {
    file_failed_ = true;
  }
  if (!reader_(text)) broken_ = true;
}

void BenchJournal::write(const nlohmann::ordered_json& line) {
  flush();
  put(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

nlohmann::ordered_json BenchJournal::columns() {
  nlohmann::ordered_json names = {"at_ns", "total_ns"};
  for (const StageTiming& stage : stages()) names.push_back(stage.name);
  return names;
}

void BenchJournal::add(const std::string& phase, int64_t index, int64_t at_ns, int64_t total_ns,
                       const StageTimings& timings) {
  if (rows_.empty()) {
    phase_ = phase;
    first_ = index;
  }
  nlohmann::ordered_json row = {at_ns, total_ns};
  for (const StageTiming& stage : stages()) row.push_back(timings.*stage.value);
  rows_.push_back(std::move(row));
  if (at_ns - written_ns_ >= kWriteEvery_ns) flush();
}

void BenchJournal::flush() {
  written_ns_ = now_ns();
  if (rows_.empty()) return;
  const nlohmann::ordered_json line = {
      {"event", "samples"}, {"phase", phase_}, {"first", first_}, {"rows", std::move(rows_)}};
  rows_ = nlohmann::ordered_json::array();
  put(line.dump() + "\n");
}

}  // namespace edgepose::tools
