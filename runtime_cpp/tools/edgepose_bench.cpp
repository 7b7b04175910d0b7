// Measures a bundle on this device as a plan asks: one JSON document a line on standard output
// (docs/devices.md), errors in one line on standard error.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bench.h"
#include "bench_journal.h"
#include "bench_plan.h"
#include "device_state.h"
#include "edgepose/engine.h"
#include "exit_code.h"

namespace edgepose::tools {
namespace {

constexpr char kProgram[] = "edgepose_bench";
constexpr char kUsage[] =
    "usage: edgepose_bench BUNDLE --plan FILE [--journal FILE]\n"
    "       edgepose_bench --facts\n"
    "  --plan FILE      what to measure; edgepose bench writes it\n"
    "  --journal FILE   write the lines of standard output here too\n"
    "  --facts          describe this device and stop\n";

constexpr int kStoppedExit = 143;
constexpr unsigned kGraceSeconds = 30;

volatile std::sig_atomic_t stop_signal = 0;

void on_signal(int number) { stop_signal = number; }

std::string stop_reason() {
  return stop_signal == 0 ? "" : "signal " + std::to_string(stop_signal);
}

bool print(const std::string& text) {
  return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
}

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

int run(const Arguments& args) {
  const Result<BenchPlan> plan = read_plan(args.plan);
  if (!plan.ok()) return report(kProgram, plan.status());
  const auto journal = BenchJournal::open(print, args.journal);
  if (!journal.ok()) return report(kProgram, journal.status());
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  // A network that hangs ends too, although nobody may be left to end it.
  alarm(static_cast<unsigned>(plan.value().limit_s) + kGraceSeconds);
  Bench bench(plan.value(), journal.value().get(), stop_reason);
  const Status status = bench.run(args.bundle);
  journal.value()->flush();
  if (!status.ok()) {
    journal.value()->write({{"event", "error"},
                            {"code", code_name(status.code())},
                            {"exit_code", exit_code(status.code())},
                            {"message", status.message()},
                            {"hint", status.hint()}});
    return report(kProgram, status);
  }
  if (journal.value()->file_failed())
    return report(kProgram, Status(Code::kIo, "the journal cannot be written", "free some space"));
  return bench.stopped() ? kStoppedExit : 0;
}

int main_guarded(const std::vector<std::string>& argv) {
  const Result<Arguments> parsed = parse(argv);
  if (!parsed.ok()) return report(kProgram, parsed.status());
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
    return report(kProgram, Status(Code::kIo, "the facts cannot be written to standard output"));
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
