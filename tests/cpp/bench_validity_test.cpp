#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../../runtime_cpp/tools/bench_record.h"

namespace edgepose::tools {
namespace {

// A valid run in which the clock of its one processor had these values, in GHz.
BenchRecord record_of(const std::vector<double>& clocks_ghz) {
  BenchRecord record;
  record.start = {{"facts",
                   {{"emulated", false},
                    {"abi", "x86_64-linux"},
                    {"features", Json::array()},
                    {"governors", Json::array()}}},
                  {"affinity", {0}},
                  {"backend", "ncnn"},
                  {"precision", "fp32"}};
  record.columns = {"at_ns", "total_ns"};
  record.phases.emplace_back();
  record.phases.back().name = "burst";
  record.phases.back().rows.assign(1024, {0, 1000000});
  record.golden = {{"passed", true}};
  record.warmup = {{"stable", true}};
  record.end = {{"complete", true}};
  for (const double ghz : clocks_ghz) {
    record.states.push_back({{"khz", {1e6 * ghz}}, {"others_cpu", 0.0}});
    record.state_phases.emplace_back("burst");
  }
  return record;
}

std::vector<double> series(const std::vector<std::vector<double>>& parts) {
  std::vector<double> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<double> at(size_t samples, double ghz) { return std::vector<double>(samples, ghz); }

Json throttled(const std::string& message) {
  return Json::array({{{"rule", "throttled"}, {"message", message}}});
}

// As in tests/unit/test_bench_parts.py.
TEST(BenchValidityTest, AClockThatWasLowForAQuarterOfTheTime) {
  const auto invalid = [](const std::vector<std::vector<double>>& parts) {
    return check(record_of(series(parts))).invalid;
  };
  const auto up = at(10, 2.8);
  const auto down = at(10, 1.8);
  EXPECT_EQ(invalid({at(15, 2.8), at(30, 1.4), at(15, 2.8)}),
            throttled("the clock fell from 2.80 to 1.40 GHz for 30 of 60 samples"));
  EXPECT_EQ(invalid({up, down, up, down, up, down, {2.8}}),
            throttled("the clock fell from 2.80 to 1.80 GHz for 30 of 61 samples"));
  EXPECT_EQ(invalid({at(9, 0.6), at(6, 2.8), at(3, 1.4), {2.8}}),
            throttled("the clock fell from 2.80 to 1.40 GHz for 3 of 10 samples"));
  EXPECT_EQ(invalid({at(9, 2.8), {1.4}}), throttled("the clock fell from 2.80 to 1.40 GHz"));
  EXPECT_EQ(invalid({at(9, 0.6), {2.8}}), Json::array()) << "a governor's start";
  EXPECT_EQ(invalid({{2.8, 1.4, 2.8}}), Json::array()) << "a single dip";
  EXPECT_EQ(invalid({at(9, 0.6), at(3, 2.8), at(2, 1.4), at(3, 2.8)}), Json::array());
  EXPECT_EQ(invalid({}), Json::array()) << "a system that does not tell its clock";
}

TEST(BenchValidityTest, ABusyBurstDoesNotHideBehindQuietPhases) {
  const auto invalid = [](double during, double after) {
    BenchRecord record = record_of({});
    for (int i = 0; i < 48; ++i) {
      record.states.push_back({{"others_cpu", i < 8 ? during : after}});
      record.state_phases.emplace_back(i < 8 ? "burst" : "paced");
    }
    return check(record).invalid;
  };
  const auto busy = [](const char* when) {
    const std::string message = std::string("other programs used 1.50 processors ") + when;
    return Json::array({{{"rule", "busy"}, {"message", message}}});
  };
  EXPECT_EQ(invalid(0.2, 0.2), Json::array());
  EXPECT_EQ(invalid(1.5, 0.0), busy("during the burst"));
  EXPECT_EQ(invalid(0.0, 1.5), busy("after the burst"));
}

TEST(BenchValidityTest, ASystemThatDoesNotTellWhatOthersUseIsToldOf) {
  BenchRecord record = record_of({});
  record.states.push_back({{"at_ns", 1}});
  const std::string message = "what other programs used is not known: a busy device is not noticed";
  EXPECT_EQ(check(record).invalid, Json::array());
  EXPECT_EQ(check(record).warnings, Json::array({{{"rule", "load"}, {"message", message}}}));
  record.states.push_back({{"at_ns", 2}, {"others_cpu", 0.0}});
  EXPECT_EQ(check(record).warnings, Json::array());
}

TEST(BenchValidityTest, ASoakMayShowWhatTheDeviceDoesNotKeepUp) {
  const auto findings = [](size_t first_of_soak) {
    BenchRecord record = record_of(series({at(4, 2.8), {1.4, 2.8}, at(30, 1.4)}));
    for (size_t i = first_of_soak; i < record.state_phases.size(); ++i)
      record.state_phases[i] = "soak";
    return check(record);
  };
  EXPECT_EQ(findings(6).invalid, Json::array());
  EXPECT_EQ(findings(6).warnings,
            throttled("during the soak the clock fell from 2.80 to 1.40 GHz"));
  EXPECT_EQ(findings(5).invalid, throttled("the clock fell from 2.80 to 1.40 GHz"))
      << "before the soak already";
}

}  // namespace
}  // namespace edgepose::tools
