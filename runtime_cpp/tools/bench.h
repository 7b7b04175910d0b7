#ifndef EDGEPOSE_TOOLS_BENCH_H_
#define EDGEPOSE_TOOLS_BENCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench_journal.h"
#include "bench_plan.h"
#include "device_state.h"
#include "edgepose/pipeline.h"
#include "ppm.h"

namespace edgepose::tools {

// Works through a plan and writes the lines that docs/devices.md describes.
class Bench {
 public:
  // stop_reason: why the run shall end now, an empty text to go on.
  Bench(const BenchPlan& plan, BenchJournal* journal, std::function<std::string()> stop_reason)
      : plan_(plan), journal_(*journal), stop_reason_(std::move(stop_reason)) {}

  // Errors: those of Pipeline::open and of its calls; kInvalidArgument for processors that are not
  // there.
  Status run(const std::string& bundle);

  bool stopped() const;

 private:
  struct Source {
    Picture picture;
    std::vector<BoxXyxy> boxes;
  };

  std::string reason() const;
  Status load_pictures();
  // After the cold frame, for it runs the networks.
  Status find_boxes();
  void header(int64_t load_ns);
  void write_state();
  // One frame: with `persons` 0 as the pipeline would do it, else the detector and then that many
  // boxes.
  Status frame(int64_t index, int persons, int64_t* total_ns, StageTimings* timings);
  // What the networks give for every picture, so that the numbers belong to a right result.
  Status results();
  Status warm_up();
  Status measure(const BenchPhase& phase);

  const BenchPlan& plan_;
  BenchJournal& journal_;
  std::function<std::string()> stop_reason_;
  DeviceState state_;
  int64_t state_ns_ = 0;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<Source> sources_;
  std::vector<Pose> poses_;
  std::vector<Detection> detections_;
  std::vector<BoxXyxy> boxes_;
};

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_BENCH_H_
