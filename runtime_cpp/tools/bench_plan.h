#ifndef EDGEPOSE_TOOLS_BENCH_PLAN_H_
#define EDGEPOSE_TOOLS_BENCH_PLAN_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgepose/bundle.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose::tools {

// One series of frames. It ends at `frames` or after `seconds`, whichever comes first.
struct BenchPhase {
  std::string name;
  bool paced = false;  // frames come at `fps`; those that come while one is worked on are dropped
  double fps = 0;
  int persons = 0;    // boxes given to the pose network; 0: those that the pipeline finds
  int64_t first = 0;  // index of the first sample: a resumed phase goes on counting
  int64_t frames = 0;
  double seconds = 0;
};

// A picture of height_px * width_px * 3 bytes in BGR order, and the persons in it.
struct BenchPicture {
  std::string path;
  int width_px = 0;
  int height_px = 0;
  std::vector<BoxXyxy> boxes;
};

struct BenchPlan {
  int threads = 1;
  std::string device;
  std::vector<int> cpus;               // processors to run on; empty: those that the system gives
  std::vector<BenchPicture> pictures;  // empty: the bundle's golden picture
  // Warm-up: over when the medians of the last three windows lie within `warmup_tolerance`.
  int warmup_window = 0;
  double warmup_tolerance = 0;
  double warmup_seconds = 0;
  double limit_s = 0;  // the whole run; it ends itself then, also where nobody listens any more
  std::vector<BenchPhase> phases;
};

// Reads a plan; every member is demanded, so that no number has a second home. Errors: kIo,
// kInvalidArgument.
Result<BenchPlan> read_plan(const std::string& path);

// The same for the text of a plan; `where` names it in errors.
Result<BenchPlan> parse_plan(const std::string& text, const std::string& where);

// The plan of `edgepose bench BUNDLE --threads N [--quick]` for a bundle of this type;
// edgepose/bench/plan.py and edgepose/cli/bench.py have the same numbers.
nlohmann::ordered_json usual_plan(PipelineSettings::Type type, int threads, bool quick);

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_BENCH_PLAN_H_
