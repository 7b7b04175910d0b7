#ifndef EDGEPOSE_TOOLS_BENCH_JOURNAL_H_
#define EDGEPOSE_TOOLS_BENCH_JOURNAL_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose::tools {

// The result of a run, one JSON document a line, to a reader and in a file: the file holds what a
// broken connection swallowed. Every sample is written, in lines of many.
class BenchJournal {
 public:
  // Takes lines; false where nobody reads them any more.
  using Reader = std::function<bool(const std::string&)>;

  // An empty path for no file. Error: kIo.
  static Result<std::unique_ptr<BenchJournal>> open(Reader reader, const std::string& path);

  // Nanoseconds since the journal was opened.
  int64_t now_ns() const;

  void write(const nlohmann::ordered_json& line);

  // The names of a sample's columns.
  static nlohmann::ordered_json columns();
  void add(const std::string& phase, int64_t index, int64_t at_ns, int64_t total_ns,
           const StageTimings& timings);
  // Writes the samples that are not written yet; add() does so four times a second.
  void flush();

  // The reader went away, or the file cannot be written.
  bool broken() const { return broken_; }
  bool file_failed() const { return file_failed_; }

 private:
  BenchJournal(Reader reader, std::FILE* file)
      : reader_(std::move(reader)), file_(file, std::fclose) {}
  void put(const std::string& text);

  Reader reader_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::string phase_;
  int64_t first_ = 0;
  int64_t written_ns_ = 0;
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array();
  bool broken_ = false;
  bool file_failed_ = false;
};

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_BENCH_JOURNAL_H_
