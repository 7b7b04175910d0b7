#ifndef EDGEPOSE_SRC_STOPWATCH_H_
#define EDGEPOSE_SRC_STOPWATCH_H_

#include <chrono>
#include <cstdint>

namespace edgepose {

// Adds the time of its life to a counter.
class Stopwatch {
 public:
  explicit Stopwatch(int64_t* total_ns) : total_ns_(total_ns), start_(Clock::now()) {}
  ~Stopwatch() {
    *total_ns_ +=
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count();
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  int64_t* total_ns_;
  Clock::time_point start_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_STOPWATCH_H_
