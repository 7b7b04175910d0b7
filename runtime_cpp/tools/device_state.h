#ifndef EDGEPOSE_TOOLS_DEVICE_STATE_H_
#define EDGEPOSE_TOOLS_DEVICE_STATE_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace edgepose::tools {

using Json = nlohmann::ordered_json;

// What does not change during a run: kernel, processors and what they can do, governors, memory,
// and "emulated": whether this process runs under an emulator of its processor.
Json device_facts();

// What changes: frequency by the processor's number (kHz; 0 where it is off), temperatures by zone
// (degrees Celsius), load, power where a battery tells it, and the processor time that others took.
// What the system does not tell is absent.
class DeviceState {
 public:
  // root: where the system's /sys and /proc/stat are, for tests.
  explicit DeviceState(const std::string& root = "");
  Json sample();

 private:
  struct CpuTimes {
    int64_t busy = 0;
    int64_t all = 0;
    int64_t own = 0;
  };
  bool read_times(CpuTimes* times) const;

  std::string times_file_;
  std::vector<std::string> frequency_files_;  // of every processor, or empty
  std::vector<std::pair<std::string, std::string>> temperature_files_;  // zone, file
  std::string power_folder_;
  CpuTimes before_;
};

// The numbers of a list as Linux writes it: "0-3,6".
std::vector<int> processors_of(const std::string& list);

// Processors that this thread may use.
std::vector<int> affinity();

// Restricts it to these. False where the system refuses, or has not all of them.
bool set_affinity(const std::vector<int>& cpus);

// The most memory that this process has held, in bytes.
int64_t rss_peak_bytes();

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_DEVICE_STATE_H_
