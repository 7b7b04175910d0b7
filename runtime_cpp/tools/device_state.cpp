#include "device_state.h"

#include <sched.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace edgepose::tools {
namespace {

constexpr int kMaxProcessors = 256;
// Phones have about a hundred, numbered from 0; a folder may be closed to listing that is open to
// names.
constexpr int kMaxZones = 256;
// Beyond these a zone has no sensor, or tells something else.
constexpr double kLowest_c = -40;
constexpr double kHighest_c = 150;

// The first line of a file, or an empty string.
std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

bool number_of(const std::string& path, double* value) {
  const std::string line = line_of(path);
  char* end = nullptr;
  *value = std::strtod(line.c_str(), &end);
  return end != line.c_str();
}

std::string cpu_folder(int cpu) {
  return "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/";
}

// Phones with Qualcomm's chips tell the battery's current (mA), voltage (mV) and charge (%) as
// zones with a "temperature".
bool is_temperature(const std::string& zone) {
  for (const char* part : {"ibat", "vbat", "bcl", "vph"}) {
    if (zone.find(part) != std::string::npos) return false;
  }
  return zone != "soc" && zone != "socd";
}

// The value behind "name : value" in a file such as /proc/cpuinfo.
std::string entry_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, name.size(), name) != 0) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return "";
}

// An emulator in user mode shows its guest a /proc of its own, but not all of it.
bool is_emulated() {
  char path[4096];
  const ssize_t bytes = readlink("/proc/thread-self/exe", path, sizeof path - 1);
  const std::string program(path, bytes > 0 ? static_cast<size_t>(bytes) : 0);
  const std::string name = program.substr(program.find_last_of('/') + 1);
  return name.compare(0, 5, "qemu-") == 0 ||
         entry_of("/proc/self/status", "Name").compare(0, 5, "qemu-") == 0;
}

// As Linux names them.
Json processor_features() {
  Json features = Json::array();
#if defined(__x86_64__)
  std::istringstream listed(entry_of("/proc/cpuinfo", "flags"));
#else
  std::istringstream listed(entry_of("/proc/cpuinfo", "Features"));
#endif
  for (std::string name; listed >> name;) features.push_back(name);
#if defined(__aarch64__)
  // Older emulators show the cpuinfo of their host. Bits of AT_HWCAP in Linux's asm/hwcap.h.
  const unsigned long bits = getauxval(AT_HWCAP);
  const std::pair<const char*, int> names[] = {{"asimd", 1},    {"fphp", 9}, {"asimdhp", 10},
                                               {"asimddp", 20}, {"sve", 22}, {"asimdfhm", 23}};
  for (const auto& [name, bit] : names) {
    if (listed.str().empty() && (bits >> bit & 1U) != 0) features.push_back(name);
  }
#endif
  return features;
}

const char* abi() {
#if defined(__aarch64__)
  return "aarch64-linux";
#elif defined(__arm__)
  return "armv7-linux";
#elif defined(__x86_64__)
  return "x86_64-linux";
#else
  return "other";
#endif
}

}  // namespace

Json device_facts() {
  utsname system{};
  uname(&system);
  Json governors = Json::array();
  Json max_khz = Json::array();
  const long processors = sysconf(_SC_NPROCESSORS_CONF);
  for (int cpu = 0; cpu < processors && cpu < kMaxProcessors; ++cpu) {
    double khz = 0;
    const std::string governor = line_of(cpu_folder(cpu) + "scaling_governor");
    if (!governor.empty()) governors.push_back(governor);
    if (number_of(cpu_folder(cpu) + "cpuinfo_max_freq", &khz)) max_khz.push_back(khz);
  }
  std::string model = entry_of("/proc/cpuinfo", "model name");
  if (model.empty()) model = entry_of("/proc/cpuinfo", "Hardware");
  std::string board;
  {
    std::ifstream file("/proc/device-tree/model");
    std::getline(file, board, '\0');
  }
  return {{"abi", abi()},
          {"system", system.sysname},
          {"kernel", system.release},
          {"machine", system.machine},
          {"board", board},
          {"processor", model},
          {"processors", processors},
          {"features", processor_features()},
          {"governors", governors},
          {"max_khz", max_khz},
          {"memory", entry_of("/proc/meminfo", "MemTotal")},
          {"emulated", is_emulated()}};
}

DeviceState::DeviceState(const std::string& root) : times_file_(root + "/proc/stat") {
  const long processors = sysconf(_SC_NPROCESSORS_CONF);
  double unused = 0;
  bool told = false;
  for (int cpu = 0; cpu < processors && cpu < kMaxProcessors; ++cpu) {
    frequency_files_.push_back(root + cpu_folder(cpu) + "scaling_cur_freq");
    told = number_of(frequency_files_.back(), &unused) || told;
  }
  if (!told) frequency_files_.clear();
  for (int zone = 0; zone < kMaxZones; ++zone) {
    const std::string folder =
        root + "/sys/class/thermal/thermal_zone" + std::to_string(zone) + "/";
    const std::string type = line_of(folder + "type");
    if (!is_temperature(type) || !number_of(folder + "temp", &unused)) continue;
    temperature_files_.emplace_back(type, folder + "temp");
  }
  for (const char* battery : {"battery", "BAT0", "BAT1"}) {
    const std::string folder = root + "/sys/class/power_supply/" + battery + "/";
    if (!line_of(folder + "status").empty()) power_folder_ = folder;
  }
  read_times(&before_);
}

bool DeviceState::read_times(CpuTimes* times) const {
  std::istringstream words(line_of(times_file_));
  std::string name;
  if (!(words >> name) || name != "cpu") return false;
  int64_t value = 0;
  int64_t all = 0;
  int64_t idle = 0;
  // user nice system idle iowait irq softirq steal; guest time is part of user time.
  for (int field = 0; field < 8 && words >> value; ++field) {
    all += value;
    if (field == 3 || field == 4) idle += value;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double own_s = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  times->all = all;
  times->busy = all - idle;
  times->own = std::llround(own_s * static_cast<double>(sysconf(_SC_CLK_TCK)));
  return all > 0;
}

Json DeviceState::sample() {
  Json state = Json::object();
  double value = 0;
  for (const std::string& file : frequency_files_) {
    state["khz"].push_back(number_of(file, &value) ? value : 0.0);
  }
  for (const auto& [zone, file] : temperature_files_) {
    if (!number_of(file, &value)) continue;
    // Thousandths of a degree; a few old kernels give whole degrees.
    if (std::fabs(value) >= 1000) value /= 1000;
    if (value <= kLowest_c || value >= kHighest_c) continue;
    // Several zones can have one name.
    Json& kept = state["temperature_c"][zone];
    if (kept.is_null() || kept.get<double>() < value) kept = value;
  }
  if (number_of("/proc/loadavg", &value)) state["load"] = value;
  double microamperes = 0;
  if (!power_folder_.empty()) {
    state["battery"] = line_of(power_folder_ + "status");
    if (number_of(power_folder_ + "current_now", &microamperes) &&
        number_of(power_folder_ + "voltage_now", &value)) {
      // Some vendors' kernels give milliamperes. At work no phone draws as little as 20 mA, nor 20 A.
      if (std::fabs(microamperes) < 20'000) microamperes *= 1000;
      state["power_w"] = std::fabs(microamperes * value * 1e-12);
    }
  }
  CpuTimes now;
  if (read_times(&now) && now.all > before_.all) {
    const double others = static_cast<double>((now.busy - before_.busy) - (now.own - before_.own));
    // Processors' worth of work by other programs since the last sample.
    state["others_cpu"] = std::round(1000 * std::fmax(0, others) *
                                     static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)) /
                                     static_cast<double>(now.all - before_.all)) /
                          1000;
    before_ = now;
  }
  return state;
}

std::vector<int> processors_of(const std::string& list) {
  std::vector<int> cpus;
  std::stringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    int first = 0;
    int last = 0;
    const int found = std::sscanf(part.c_str(), "%d-%d", &first, &last);
    if (found < 1) continue;
    for (int cpu = first; cpu <= (found == 2 ? last : first); ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<int> affinity() {
  // Android kernels leave out of sched_getaffinity what core control has parked for the moment; these
  // processors wake up under load. The list may have some that are not there.
  const std::vector<int> online = processors_of(line_of("/sys/devices/system/cpu/online"));
  std::vector<int> cpus;
  for (const int cpu : processors_of(entry_of("/proc/thread-self/status", "Cpus_allowed_list"))) {
    if (std::find(online.begin(), online.end(), cpu) != online.end()) cpus.push_back(cpu);
  }
  if (!cpus.empty()) return cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

bool set_affinity(const std::vector<int>& cpus) {
  if (cpus.empty()) return false;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) return false;
    CPU_SET(static_cast<size_t>(cpu), &set);
  }
  // What is asked for and not there is left out without an error, unless nothing is there.
  const std::set<int> wanted(cpus.begin(), cpus.end());
  if (sched_setaffinity(0, sizeof set, &set) != 0) return false;
  const std::vector<int> given = affinity();
  return std::set<int>(given.begin(), given.end()) == wanted;
}

int64_t rss_peak_bytes() {
  // Linux carries ru_maxrss across exec: it begins at the peak of the program that started this.
  const int64_t own_kb = std::atoll(entry_of("/proc/self/status", "VmHWM").c_str());
  if (own_kb > 0) return own_kb * 1024;
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{usage.ru_maxrss} * 1024 : 0;
}

}  // namespace edgepose::tools
