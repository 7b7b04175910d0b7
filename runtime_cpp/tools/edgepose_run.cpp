// Runs a bundle on pictures: JSON on standard output, errors in one line on standard error.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgepose/pipeline.h"
#include "exit_code.h"
#include "ppm.h"

namespace edgepose::tools {
namespace {

// Numbers are float, so that each is written with as many digits as give it back.
using Json = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, int64_t,
                                  uint64_t, float>;

constexpr char kProgram[] = "edgepose_run";
constexpr char kUsage[] =
    "usage: edgepose_run BUNDLE [PICTURE.ppm ...] [options]\n"
    "  --raw WIDTHxHEIGHT     pictures hold bytes in BGR order\n"
    "  --track                the pictures are the frames of a video; persons get ids\n"
    "  --smooth               the same, with smoothed keypoints\n"
    "  --detect-every N       the same, with the detector on every N-th frame (1)\n"
    "  --detect-delay N       the same, with the detector on a thread of its own: what it finds\n"
    "                         in a frame counts N frames later (0)\n"
    "  --interval-ms N        time between two frames (33)\n"
    "  --boxes X1,Y1,X2,Y2    a person's box in pixels, instead of the detector; may be repeated\n"
    "  --threads N            (1)\n"
    "  --device NAME          (CPU)\n"
    "  --repeat N             run N times; the timings are those of the last run (1)\n"
    "  --verify               run the bundle's golden picture and compare\n";

struct Arguments {
  bool help = false;
  bool verify = false;
  bool track = false;
  bool smooth = false;
  int detect_every = 1;
  int detect_delay = 0;
  int interval_ms = 33;
  bool raw = false;
  std::string bundle;
  std::vector<std::string> pictures;
  int raw_width_px = 0;
  int raw_height_px = 0;
  int threads = 1;
  int repeat = 1;
  std::string device = "CPU";
  std::vector<BoxXyxy> boxes;
};

Status wrong(const std::string& message) {
  return Status(Code::kInvalidArgument, message, "see edgepose_run --help");
}

// Digits alone; a number that is too long for a long is above every limit.
bool parse_count(const std::string& text, int limit, int* number, int least = 1) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return false;
  const long value = std::strtol(text.c_str(), nullptr, 10);
  if (value < least || value > limit) return false;
  *number = static_cast<int>(value);
  return true;
}

constexpr const char* kWithValue[] = {"--threads",      "--repeat",      "--detect-every",
                                      "--detect-delay", "--interval-ms", "--device",
                                      "--raw",          "--boxes"};

Result<Arguments> parse(const std::vector<std::string>& argv) {
  Arguments args;
  std::vector<std::string> places;
  for (size_t i = 0; i < argv.size(); ++i) {
    const std::string& name = argv[i];
    if (name == "--help" || name == "-h") {
      args.help = true;
      return args;
    }
    if (name == "--verify") {
      args.verify = true;
      continue;
    }
    if (name == "--track" || name == "--smooth") {
      args.track = true;
      args.smooth = args.smooth || name == "--smooth";
      continue;
    }
    if (name.rfind("--", 0) != 0) {
      places.push_back(name);
      continue;
    }
    if (std::find(std::begin(kWithValue), std::end(kWithValue), name) == std::end(kWithValue))
      return wrong("unknown option " + name);
    if (i + 1 == argv.size()) return wrong(name + " needs a value");
    const std::string& value = argv[++i];
    if (name == "--threads") {
      if (!parse_count(value, 256, &args.threads))
        return wrong("--threads " + value + " is not a number of 1 to 256");
    } else if (name == "--repeat") {
      if (!parse_count(value, 1000000, &args.repeat))
        return wrong("--repeat " + value + " is not a number of 1 to 1000000");
    } else if (name == "--detect-every") {
      if (!parse_count(value, 100000, &args.detect_every))
        return wrong("--detect-every " + value + " is not a number of 1 to 100000");
      args.track = args.track || args.detect_every > 1;
    } else if (name == "--detect-delay") {
      if (!parse_count(value, 100000, &args.detect_delay, 0))
        return wrong("--detect-delay " + value + " is not a number of 0 to 100000");
      args.track = args.track || args.detect_delay > 0;
    } else if (name == "--interval-ms") {
      if (!parse_count(value, 1000000, &args.interval_ms))
        return wrong("--interval-ms " + value + " is not a number of 1 to 1000000");
    } else if (name == "--device") {
      args.device = value;
    } else if (name == "--raw") {
      args.raw = true;
      const size_t x = value.find('x');
      if (x == std::string::npos || !parse_count(value.substr(0, x), 32767, &args.raw_width_px) ||
          !parse_count(value.substr(x + 1), 32767, &args.raw_height_px)) {
        return wrong("--raw " + value + " is not WIDTHxHEIGHT, each of 1 to 32767");
      }
    } else if (name == "--boxes") {
      BoxXyxy box;
      char after = '\0';
      if (std::sscanf(value.c_str(), "%f,%f,%f,%f%c", &box.x1, &box.y1, &box.x2, &box.y2, &after) !=
          4) {
        return wrong("--boxes " + value + " is not X1,Y1,X2,Y2");
      }
      args.boxes.push_back(box);
    } else {
      return wrong(name + " is not handled");
    }
  }
  if (!args.boxes.empty() && (args.detect_every > 1 || args.detect_delay > 0)) {
    return wrong("--boxes leaves nobody to follow: --detect-every and --detect-delay go without it");
  }
  if (places.empty()) return wrong("a bundle is needed");
  args.bundle = places[0];
  args.pictures.assign(places.begin() + 1, places.end());
  if (args.pictures.empty() && !args.verify) return wrong("a picture or --verify is needed");
  return args;
}

Json to_json(const Pose& pose) {
  Json keypoints = Json::array();
  for (const Keypoint& point : pose.keypoints) {
    keypoints.push_back({point.x_px, point.y_px, point.score});
  }
  const BoxXyxy& b = pose.box;
  Json person = {{"box_xyxy", {b.x1, b.y1, b.x2, b.y2}},
                 {"box_score", pose.box_score},
                 {"keypoints", keypoints}};
  if (pose.track_id >= 0) person["track_id"] = pose.track_id;
  if (!pose.z.empty()) {
    person["z"] = Json::array();
    for (const float z : pose.z) person["z"].push_back(z);
  }
  return person;
}

Json to_json(const StageTimings& timings) {
  Json document;
  for (const StageTiming& stage : kStageTimings) document[stage.name] = timings.*stage.value;
  return document;
}

Json to_json(const GoldenReport& r) {
  return {{"passed", r.passed},
          {"tolerance_px", r.tolerance_px},
          {"detections_expected", r.detections_expected},
          {"detections_matched", r.detections_matched},
          {"detections_unexpected", r.detections_unexpected},
          {"box_mean_px", r.box_mean_px},
          {"box_max_px", r.box_max_px},
          {"keypoints_compared", r.keypoints_compared},
          {"keypoint_mean_px", r.keypoint_mean_px},
          {"keypoint_max_px", r.keypoint_max_px}};
}

Result<Json> run_picture(const Arguments& args, const std::string& path, int64_t frame,
                         Pipeline* pipeline) {
  auto read = args.raw ? read_raw_bgr(path, args.raw_width_px, args.raw_height_px) : read_ppm(path);
  EDGEPOSE_ASSIGN_OR_RETURN(const Picture picture, std::move(read));
  const int64_t time_ns = frame * args.interval_ms * 1000000;
  std::vector<Pose> poses;
  StageTimings timings;
  EDGEPOSE_RETURN_IF_ERROR(
      args.boxes.empty()
          ? pipeline->process(picture.view(), time_ns, &poses, &timings)
          : pipeline->process_boxes(picture.view(), time_ns, args.boxes, &poses, &timings));
  Json document = {{"picture", path},
                   {"width_px", picture.width_px},
                   {"height_px", picture.height_px},
                   {"persons", Json::array()}};
  for (const Pose& pose : poses) document["persons"].push_back(to_json(pose));
  document["timings"] = to_json(timings);
  return document;
}

Status run(const Arguments& args, Json* document, bool* verified) {
  PipelineOptions options;
  options.threads = args.threads;
  options.device = args.device;
  options.track = args.track;
  options.smooth = args.smooth;
  options.detect_every = args.detect_every;
  options.detect_delay = args.detect_delay;
  EDGEPOSE_ASSIGN_OR_RETURN(const std::unique_ptr<Pipeline> pipeline,
                            Pipeline::open(args.bundle, options));
  *document = {{"bundle", pipeline->bundle().name()}, {"digest", pipeline->bundle().digest()}};
  if (args.verify) {
    EDGEPOSE_ASSIGN_OR_RETURN(const GoldenReport report, pipeline->verify_golden());
    (*document)["verification"] = to_json(report);
    *verified = report.passed;
  }
  int64_t frame = 0;
  for (int round = 0; round < args.repeat; ++round) {
    Json frames = Json::array();
    for (const std::string& path : args.pictures) {
      EDGEPOSE_ASSIGN_OR_RETURN(Json done, run_picture(args, path, frame++, pipeline.get()));
      frames.push_back(std::move(done));
    }
    if (frames.size() == 1) {
      document->update(frames[0]);
    } else if (!frames.empty()) {
      (*document)["frames"] = std::move(frames);
    }
  }
  return {};
}

int main_guarded(const std::vector<std::string>& argv) {
  const Result<Arguments> parsed = parse(argv);
  if (!parsed.ok()) return report(kProgram, parsed.status());
  if (parsed.value().help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  Json document;
  bool verified = true;
  const Status status = run(parsed.value(), &document, &verified);
  if (!status.ok()) return report(kProgram, status);
  const std::string text = document.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (std::fprintf(stdout, "%s\n", text.c_str()) < 0 || std::fflush(stdout) != 0) {
    return report(kProgram, Status(Code::kIo, "the result cannot be written to standard output"));
  }
  if (!verified) {
    std::fputs(
        "edgepose_run: the bundle does not reproduce its golden results (convert it again)\n",
        stderr);
    return kVerificationExit;
  }
  return 0;
}

}  // namespace
}  // namespace edgepose::tools

int main(int argc, char** argv) {
  try {
    return edgepose::tools::main_guarded(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "edgepose_run: %s\n", error.what());
    return 1;
  }
}
