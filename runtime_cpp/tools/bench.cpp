#include "bench.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <thread>

namespace edgepose::tools {
namespace {

constexpr int64_t kStateEvery_ns = 1'000'000'000;

double median(std::deque<int64_t> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

}  // namespace

Status Bench::run(const std::string& bundle) {
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
  EDGEPOSE_RETURN_IF_ERROR(find_boxes());
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

bool Bench::stopped() const {
  return !stop_reason_().empty() || journal_.broken() || journal_.file_failed() ||
         static_cast<double>(journal_.now_ns()) * 1e-9 > plan_.limit_s;
}

std::string Bench::reason() const {
  const std::string asked = stop_reason_();
  if (!asked.empty()) return asked;
  if (journal_.file_failed()) return "the journal cannot be written";
  if (journal_.broken()) return "the connection was lost";
  return stopped() ? "the time limit was reached" : "";
}

Status Bench::load_pictures() {
  const GoldenSpec& golden = pipeline_->bundle().golden();
  std::vector<BenchPicture> wanted = plan_.pictures;
  if (wanted.empty())
    wanted.push_back({golden.picture_path, golden.width_px, golden.height_px, golden.boxes});
  for (const BenchPicture& entry : wanted) {
    EDGEPOSE_ASSIGN_OR_RETURN(Picture picture,
                              read_raw_bgr(entry.path, entry.width_px, entry.height_px));
    sources_.push_back({std::move(picture), entry.boxes});
  }
  return {};
}

Status Bench::find_boxes() {
  for (Source& source : sources_) {
    if (!source.boxes.empty()) continue;
    // Whom the pipeline sees, or the whole picture: the cost does not depend on the box.
    const ImageView image = source.picture.view();
    EDGEPOSE_RETURN_IF_ERROR(pipeline_->process(image, 0, &poses_));
    for (const Pose& pose : poses_) source.boxes.push_back(pose.box);
    if (source.boxes.empty()) {
      source.boxes.push_back(
          {0, 0, static_cast<float>(image.width_px), static_cast<float>(image.height_px)});
    }
    EDGEPOSE_RETURN_IF_ERROR(pipeline_->reset());
  }
  return {};
}

void Bench::header(int64_t load_ns) {
  const Bundle& bundle = pipeline_->bundle();
  Json backends = Json::array();
  for (const std::string& name : available_backends()) backends.push_back(name);
  // To this engine "CPU", which stands for no wish, is the NPU as its driver chooses.
  const bool npu = bundle.backend() == "rknn" && plan_.device == "CPU";
  journal_.write({{"event", "start"},
                  {"format", "edgepose-bench-1"},
                  {"runner", EDGEPOSE_VERSION},
                  {"bundle", bundle.name()},
                  {"digest", bundle.digest()},
                  {"backend", bundle.backend()},
                  {"precision", bundle.precision()},
                  {"backends", backends},
                  {"device", npu ? "NPU" : plan_.device},
                  {"threads", plan_.threads},
                  {"affinity", affinity()},
                  {"pid", getpid()},
                  {"facts", device_facts()},
                  {"columns", BenchJournal::columns()},
                  {"load_ns", load_ns}});
  write_state();
}

void Bench::write_state() {
  Json line = {{"event", "state"}, {"at_ns", journal_.now_ns()}};
  line.update(state_.sample());
  journal_.write(line);
  state_ns_ = journal_.now_ns();
}

Status Bench::frame(int64_t index, int persons, int64_t* total_ns, StageTimings* timings) {
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

Status Bench::results() {
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
  return pipeline_->reset();
}

Status Bench::warm_up() {
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

Status Bench::measure(const BenchPhase& phase) {
  write_state();
  const int64_t begin_ns = journal_.now_ns();
  const double period_ns = phase.paced ? 1e9 / phase.fps : 0;
  int64_t done = 0;
  int64_t slot = 1;  // of a paced phase: the next frame of the camera, which gives one each period
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

}  // namespace edgepose::tools
