// Measures a bundle on this device as a plan asks: one JSON document a line on standard output
// (docs/devices.md), errors in one line on standard error.

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <deque>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "bench_journal.h"
#include "bench_plan.h"
#include "device_state.h"
#include "edgepose/pipeline.h"
#include "exit_code.h"
#include "ppm.h"

namespace edgepose::tools {
namespace {

constexpr char kUsage[] =
    "usage: edgepose_bench BUNDLE --plan FILE [--journal FILE]\n"
    "       edgepose_bench --facts\n"
    "  --plan FILE      what to measure; edgepose bench writes it\n"
    "  --journal FILE   write the lines of standard output here too\n"
    "  --facts          describe this device and stop\n";

constexpr int kStoppedExit = 143;
constexpr int64_t kStateEvery_ns = 1'000'000'000;
constexpr unsigned kGraceSeconds = 30;

volatile std::sig_atomic_t stop_signal = 0;

void on_signal(int number) { stop_signal = number; }

struct Arguments {
  bool help = false;
  bool facts = false;
  std::string bundle;
  std::string plan;
  std::string journal;
};

Status wrong(const std::string& message) {
  return Status(Code::kInvalidArgument, message, "see edgepose_bench --help");
}

Result<Arguments> parse(const std::vector<std::string>& argv) {
  Arguments args;
  for (size_t i = 0; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == "--help" || word == "-h") {
      args.help = true;
      return args;
    }
    if (word == "--facts") {
      args.facts = true;
    } else if (word == "--plan" || word == "--journal") {
      if (i + 1 == argv.size()) return wrong(word + " needs a value");
      (word == "--plan" ? args.plan : args.journal) = argv[++i];
    } else if (word.rfind("--", 0) == 0) {
      return wrong("unknown option " + word);
    } else if (args.bundle.empty()) {
      args.bundle = word;
    } else {
      return wrong("one bundle is measured at a time");
    }
  }
  if (args.facts) return args;
  if (args.bundle.empty() || args.plan.empty()) return wrong("a bundle and --plan are needed");
  return args;
}

double median(std::deque<int64_t> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

class Bench {
 public:
  Bench(const BenchPlan& plan, BenchJournal* journal) : plan_(plan), journal_(*journal) {}

  Status run(const std::string& bundle) {
    if (!plan_.cpus.empty() && !set_affinity(plan_.cpus)) {
      return Status(Code::kInvalidArgument,
                    "this device has not all of the processors that the plan names",
                    "see its profile: edgepose devices show");
    }
    const int64_t begin_ns = journal_.now_ns();
    PipelineOptions options;
    options.threads = plan_.threads;
    options.device = plan_.device;
    EDGEPOSE_ASSIGN_OR_RETURN(pipeline_, Pipeline::open(bundle, options));
    const int64_t load_ns = journal_.now_ns() - begin_ns;
    EDGEPOSE_RETURN_IF_ERROR(load_pictures());
    header(load_ns);
    int64_t cold_ns = 0;
    StageTimings timings;
    EDGEPOSE_RETURN_IF_ERROR(frame(0, 0, &cold_ns, &timings));
    journal_.write({{"event", "cold"}, {"total_ns", cold_ns}});
    EDGEPOSE_RETURN_IF_ERROR(results());
    EDGEPOSE_RETURN_IF_ERROR(warm_up());
    for (const BenchPhase& phase : plan_.phases) {
      if (stopped()) break;
      EDGEPOSE_RETURN_IF_ERROR(measure(phase));
    }
    journal_.write({{"event", "end"},
                    {"complete", !stopped()},
                    {"reason", reason()},
                    {"rss_peak_bytes", rss_peak_bytes()},
                    {"at_ns", journal_.now_ns()}});
    return {};
  }

  bool stopped() const {
    return stop_signal != 0 || journal_.broken() || journal_.file_failed() ||
           static_cast<double>(journal_.now_ns()) * 1e-9 > plan_.limit_s;
  }

 private:
  struct Source {
    Picture picture;
    std::vector<BoxXyxy> boxes;
  };

  std::string reason() const {
    if (stop_signal != 0) return "signal " + std::to_string(stop_signal);
    if (journal_.file_failed()) return "the journal cannot be written";
    if (journal_.broken()) return "the connection was lost";
    return stopped() ? "the time limit was reached" : "";
  }

  Status load_pictures() {
    const GoldenSpec& golden = pipeline_->bundle().golden();
    std::vector<BenchPicture> wanted = plan_.pictures;
    if (wanted.empty())
      wanted.push_back({golden.picture_path, golden.width_px, golden.height_px, golden.boxes});
    for (const BenchPicture& entry : wanted) {
      EDGEPOSE_ASSIGN_OR_RETURN(Picture picture,
                                read_raw_bgr(entry.path, entry.width_px, entry.height_px));
      Source source{std::move(picture), entry.boxes};
      if (source.boxes.empty()) {
        // Whom the pipeline sees, or the whole picture: the cost does not depend on the box.
        EDGEPOSE_RETURN_IF_ERROR(pipeline_->process(source.picture.view(), 0, &poses_));
        for (const Pose& pose : poses_) source.boxes.push_back(pose.box);
        if (source.boxes.empty()) {
          source.boxes.push_back(
              {0, 0, static_cast<float>(entry.width_px), static_cast<float>(entry.height_px)});
        }
        pipeline_->reset();
      }
      sources_.push_back(std::move(source));
    }
    return {};
  }

  void header(int64_t load_ns) {
    const Bundle& bundle = pipeline_->bundle();
    Json backends = Json::array();
    for (const std::string& name : available_backends()) backends.push_back(name);
    journal_.write({{"event", "start"},
                    {"format", "edgepose-bench-1"},
                    {"runner", EDGEPOSE_VERSION},
                    {"bundle", bundle.name()},
                    {"digest", bundle.digest()},
                    {"backend", bundle.backend()},
                    {"precision", bundle.precision()},
                    {"backends", backends},
                    {"device", plan_.device},
                    {"threads", plan_.threads},
                    {"affinity", affinity()},
                    {"pid", getpid()},
                    {"facts", device_facts()},
                    {"columns", BenchJournal::columns()},
                    {"load_ns", load_ns}});
    write_state();
  }

  void write_state() {
    Json line = {{"event", "state"}, {"at_ns", journal_.now_ns()}};
    line.update(state_.sample());
    journal_.write(line);
    state_ns_ = journal_.now_ns();
  }

  // One frame: with `persons` 0 as the pipeline would do it, else the detector and then that many
  // boxes.
  Status frame(int64_t index, int persons, int64_t* total_ns, StageTimings* timings) {
    const Source& source = sources_[static_cast<size_t>(index) % sources_.size()];
    const ImageView image = source.picture.view();
    const bool fixed = persons > 0 && pipeline_->bundle().model("pose") != nullptr;
    const int64_t time_ns = journal_.now_ns();
    StageTimings detector;
    if (!fixed) {
      EDGEPOSE_RETURN_IF_ERROR(pipeline_->process(image, time_ns, &poses_, timings));
    } else {
      boxes_.clear();
      for (int i = 0; i < persons; ++i)
        boxes_.push_back(source.boxes[static_cast<size_t>(i) % source.boxes.size()]);
      if (pipeline_->bundle().model("detector") != nullptr)
        EDGEPOSE_RETURN_IF_ERROR(pipeline_->detect(image, &detections_, &detector));
      EDGEPOSE_RETURN_IF_ERROR(pipeline_->process_boxes(image, time_ns, boxes_, &poses_, timings));
    }
    *total_ns = journal_.now_ns() - time_ns;
    timings->detector_preprocess_ns += detector.detector_preprocess_ns;
    timings->detector_ns += detector.detector_ns;
    timings->detector_decode_ns += detector.detector_decode_ns;
    return {};
  }

  // What the networks give for every picture, so that the numbers belong to a right result.
  Status results() {
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (i > 0) {  // the first picture's poses are those of the cold frame
        int64_t unused_ns = 0;
        StageTimings unused;
        EDGEPOSE_RETURN_IF_ERROR(frame(static_cast<int64_t>(i), 0, &unused_ns, &unused));
      }
      Json persons = Json::array();
      for (const Pose& pose : poses_) {
        Json points = Json::array();
        for (const Keypoint& k : pose.keypoints) points.push_back({k.x_px, k.y_px, k.score});
        const BoxXyxy& b = pose.box;
        persons.push_back({{"box_xyxy", {b.x1, b.y1, b.x2, b.y2}},
                           {"box_score", pose.box_score},
                           {"keypoints", points}});
      }
      journal_.write({{"event", "result"}, {"picture", i}, {"persons", persons}});
    }
    EDGEPOSE_ASSIGN_OR_RETURN(const GoldenReport golden, pipeline_->verify_golden());
    journal_.write({{"event", "golden"},
                    {"passed", golden.passed},
                    {"tolerance_px", golden.tolerance_px},
                    {"keypoint_max_px", golden.keypoint_max_px},
                    {"box_max_px", golden.box_max_px}});
    pipeline_->reset();
    return {};
  }

  Status warm_up() {
    const int64_t begin_ns = journal_.now_ns();
    const size_t window = static_cast<size_t>(plan_.warmup_window);
    const int persons = plan_.phases.empty() ? 0 : plan_.phases.front().persons;
    std::deque<int64_t> last;
    std::deque<double> medians;
    int64_t frames = 0;
    bool stable = false;
    while (!stable && !stopped() &&
           static_cast<double>(journal_.now_ns() - begin_ns) * 1e-9 < plan_.warmup_seconds) {
      int64_t total_ns = 0;
      StageTimings timings;
      EDGEPOSE_RETURN_IF_ERROR(frame(frames, persons, &total_ns, &timings));
      journal_.add("warmup", frames, journal_.now_ns(), total_ns, timings);
      ++frames;
      last.push_back(total_ns);
      if (last.size() < window) continue;
      medians.push_back(median(last));
      last.clear();
      if (medians.size() > 3) medians.pop_front();
      if (medians.size() < 3) continue;
      const auto [least, most] = std::minmax_element(medians.begin(), medians.end());
      stable = *most <= *least * (1 + plan_.warmup_tolerance);
    }
    journal_.write({{"event", "warmup"},
                    {"frames", frames},
                    {"stable", stable},
                    {"duration_ns", journal_.now_ns() - begin_ns}});
    return {};
  }

  Status measure(const BenchPhase& phase) {
    write_state();
    const int64_t begin_ns = journal_.now_ns();
    const double period_ns = phase.paced ? 1e9 / phase.fps : 0;
    int64_t done = 0;
    int64_t slot = 0;  // of a paced phase: frames that the camera has given
    int64_t dropped = 0;
    while (done < phase.frames && !stopped()) {
      int64_t now_ns = journal_.now_ns();
      if (static_cast<double>(now_ns - begin_ns) >= phase.seconds * 1e9) break;
      if (now_ns - state_ns_ >= kStateEvery_ns) write_state();
      if (phase.paced) {
        now_ns = journal_.now_ns();
        const auto due =
            static_cast<int64_t>(std::ceil(static_cast<double>(now_ns - begin_ns) / period_ns));
        if (due > slot) dropped += due - slot;
        slot = std::max(due, slot);
        const int64_t wait_ns =
            begin_ns + std::llround(static_cast<double>(slot) * period_ns) - now_ns;
        if (wait_ns > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(wait_ns));
        ++slot;
      }
      const int64_t index = phase.first + done;
      const int64_t at_ns = journal_.now_ns();
      int64_t total_ns = 0;
      StageTimings timings;
      EDGEPOSE_RETURN_IF_ERROR(frame(index, phase.persons, &total_ns, &timings));
      journal_.add(phase.name, index, at_ns, total_ns, timings);
      ++done;
    }
    write_state();
    journal_.write({{"event", "phase"},
                    {"phase", phase.name},
                    {"frames", done},
                    {"dropped", dropped},
                    {"complete", !stopped()},
                    {"duration_ns", journal_.now_ns() - begin_ns}});
    return {};
  }

  const BenchPlan& plan_;
  BenchJournal& journal_;
  DeviceState state_;
  int64_t state_ns_ = 0;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<Source> sources_;
  std::vector<Pose> poses_;
  std::vector<Detection> detections_;
  std::vector<BoxXyxy> boxes_;
};

int report(const Status& status) {
  const std::string hint = status.hint().empty() ? "" : " (" + status.hint() + ")";
  std::fprintf(stderr, "edgepose_bench: %s%s\n", status.message().c_str(), hint.c_str());
  return exit_code(status.code());
}

int run(const Arguments& args) {
  const Result<BenchPlan> plan = read_plan(args.plan);
  if (!plan.ok()) return report(plan.status());
  const auto journal = BenchJournal::open(args.journal);
  if (!journal.ok()) return report(journal.status());
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  // A network that hangs ends too, although nobody may be left to end it.
  alarm(static_cast<unsigned>(plan.value().limit_s) + kGraceSeconds);
  Bench bench(plan.value(), journal.value().get());
  const Status status = bench.run(args.bundle);
  journal.value()->flush();
  if (!status.ok()) {
    journal.value()->write({{"event", "error"},
                            {"code", code_name(status.code())},
                            {"exit_code", exit_code(status.code())},
                            {"message", status.message()},
                            {"hint", status.hint()}});
    return report(status);
  }
  if (journal.value()->file_failed())
    return report(Status(Code::kIo, "the journal cannot be written", "free some space"));
  return bench.stopped() ? kStoppedExit : 0;
}

int main_guarded(const std::vector<std::string>& argv) {
  const Result<Arguments> parsed = parse(argv);
  if (!parsed.ok()) return report(parsed.status());
  if (parsed.value().help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (!parsed.value().facts) return run(parsed.value());
  Json backends = Json::array();
  for (const std::string& name : available_backends()) backends.push_back(name);
  Json facts = {{"event", "facts"}, {"runner", EDGEPOSE_VERSION}, {"backends", backends}};
  facts["facts"] = device_facts();
  facts["state"] = DeviceState().sample();
  const std::string text = facts.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (std::fprintf(stdout, "%s\n", text.c_str()) < 0 || std::fflush(stdout) != 0)
    return report(Status(Code::kIo, "the facts cannot be written to standard output"));
  return 0;
}

}  // namespace
}  // namespace edgepose::tools

int main(int argc, char** argv) {
  try {
    return edgepose::tools::main_guarded(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "edgepose_bench: %s\n", error.what());
    return 1;
  }
}
