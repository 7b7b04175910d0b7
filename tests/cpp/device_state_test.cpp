#include "../../runtime_cpp/tools/device_state.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

namespace edgepose::tools {
namespace {

namespace fs = std::filesystem;

// A tree that stands in for /sys.
class DeviceStateTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("device_state_" + std::to_string(getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << '\n';
  }
  void zone(int number, const std::string& type, const std::string& temp) const {
    const std::string folder = "sys/class/thermal/thermal_zone" + std::to_string(number) + "/";
    write(folder + "type", type);
    write(folder + "temp", temp);
  }
  static std::string clock(long cpu) {
    return "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/scaling_cur_freq";
  }
  Json sample() const { return DeviceState(root_.string()).sample(); }

  fs::path root_;
};

TEST_F(DeviceStateTest, WhatThePhonesBatteryTellsIsNoTemperature) {
  // As a Snapdragon 865 has them.
  zone(0, "cpu-1-3-usr", "33800");
  zone(1, "pm8150b-ibat-lvl0", "546");
  zone(2, "pm8150b-vbat-lvl0", "3986");
  zone(3, "pm8150b-bcl-lvl0", "0");
  zone(4, "pm8150l-vph-lvl0", "0");
  zone(5, "soc", "72");
  zone(6, "camera-therm-usr", "-40000");
  zone(7, "pm8150l-bcl-lvl0", "-274000");
  zone(8, "soc-thermal", "41");  // an old kernel of another chip: whole degrees
  zone(9, "skin", "999");
  EXPECT_EQ(sample().at("temperature_c"), (Json{{"cpu-1-3-usr", 33.8}, {"soc-thermal", 41.0}}));
}

TEST_F(DeviceStateTest, TheHottestOfZonesWithOneNameCounts) {
  zone(0, "acpitz", "91000");
  zone(1, "acpitz", "27800");
  EXPECT_EQ(sample().at("temperature_c"), (Json{{"acpitz", 91.0}}));
}

TEST_F(DeviceStateTest, APhoneHasMoreThanAHundredZones) {
  zone(0, "first", "41000");
  zone(117, "last", "52000");  // numbers can be free in between
  EXPECT_EQ(sample().at("temperature_c"), (Json{{"first", 41.0}, {"last", 52.0}}));
}

TEST_F(DeviceStateTest, ClocksHaveTheNumbersOfTheirProcessors) {
  EXPECT_FALSE(sample().contains("khz"));
  const long last = sysconf(_SC_NPROCESSORS_CONF) - 1;
  if (last < 1) GTEST_SKIP() << "optional: one processor";
  write(clock(last), "2400000");  // those before it are off
  const Json khz = sample().at("khz");
  ASSERT_EQ(khz.size(), static_cast<size_t>(last) + 1);
  EXPECT_EQ(khz.at(0), 0);
  EXPECT_EQ(khz.back(), 2400000);
}

TEST_F(DeviceStateTest, ABatteryTellsThePower) {
  write("sys/class/power_supply/BAT0/status", "Discharging");
  EXPECT_FALSE(sample().contains("power_w"));
  write("sys/class/power_supply/BAT0/current_now", "-500000");  // microamperes, of either sign
  write("sys/class/power_supply/BAT0/voltage_now", "4000000");
  const Json state = sample();
  EXPECT_EQ(state.at("battery"), "Discharging");
  EXPECT_NEAR(state.at("power_w").get<double>(), 2, 1e-9);
  write("sys/class/power_supply/BAT0/current_now", "900");  // milliamperes: Samsung
  EXPECT_NEAR(sample().at("power_w").get<double>(), 3.6, 1e-9);
}

TEST(ProcessorsTest, AreTheOnesThatTheSystemLists) {
  EXPECT_EQ(processors_of("0-2,6"), (std::vector<int>{0, 1, 2, 6}));
  EXPECT_EQ(processors_of("5"), std::vector<int>{5});
  EXPECT_EQ(processors_of(""), std::vector<int>{});
  const std::vector<int> before = affinity();
  ASSERT_FALSE(before.empty());
  EXPECT_TRUE(set_affinity({before.back()}));
  EXPECT_EQ(affinity(), std::vector<int>{before.back()});
  EXPECT_FALSE(set_affinity({before.back(), CPU_SETSIZE - 1})) << "a processor that is not there";
  EXPECT_FALSE(set_affinity({}));
  EXPECT_TRUE(set_affinity(before));
}

TEST_F(DeviceStateTest, WhatOthersUseIsAllButIdleTimeAndOurOwn) {
  // user nice system idle iowait irq softirq steal, in ticks
  write("proc/stat", "cpu  1000 0 500 8000 500 0 0 0 900 0");
  DeviceState state(root_.string());
  EXPECT_FALSE(state.sample().contains("others_cpu")) << "no time has passed";
  const double tick_s = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::clock_t begin = std::clock();
  while (static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 30 * tick_s) {
  }
  write("proc/stat", "cpu  1120 5 510 8220 625 10 5 5 900 0");
  // 155 ticks of 500 were not idle, of which 30 were ours.
  const auto processors = static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  const double tolerance = 10 * processors / 500;
  EXPECT_NEAR(state.sample().at("others_cpu").get<double>(), 125 * processors / 500, tolerance);
  write("proc/stat", "cpu  1120 5 510 9220 1625 10 5 5 900 0");
  EXPECT_NEAR(state.sample().at("others_cpu").get<double>(), 0, 1e-9) << "since the last sample";
}

}  // namespace
}  // namespace edgepose::tools
