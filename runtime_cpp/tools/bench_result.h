#ifndef EDGEPOSE_TOOLS_BENCH_RESULT_H_
#define EDGEPOSE_TOOLS_BENCH_RESULT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "edgepose/bundle.h"
#include "edgepose/status.h"

namespace edgepose::tools {

// What a result document says of the place where it was made.
struct BenchPlace {
  nlohmann::ordered_json device;   // "name", "title", "transport" and facts of the caller's
  nlohmann::ordered_json runner;   // "sha256" and "bytes" of the program or library
  nlohmann::ordered_json command;  // a list
};

// The result document of a run (docs/devices.md), for programs that cannot ask Python;
// edgepose/bench/result.py makes the same one. plan: the text that the run was given.
// Error: kInvalidArgument for a plan or journal of another format or another bundle.
Result<nlohmann::ordered_json> result_document(const Bundle& bundle, const std::string& plan,
                                               const std::string& journal, const BenchPlace& place);

// The document in a few lines of text, for a small screen. Times of an emulated run are left out.
std::string describe(const nlohmann::ordered_json& document);

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_BENCH_RESULT_H_
