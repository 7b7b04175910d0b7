#include "engines/openmp_wait.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__)
#include <omp.h>
#include <pthread.h>
#define EDGEPOSE_GNU_OPENMP
#endif

namespace edgepose {
namespace {

#ifdef EDGEPOSE_GNU_OPENMP
// GNU OpenMP counts the processors when it is loaded, which is now or was just before;
// omp_get_num_procs() leaves out those that are taken from this process later.
const int kProcessorsAtStart = omp_get_num_procs();
#endif

#ifdef EDGEPOSE_GNU_OPENMP
// 0 where the system does not tell.
long threads_of_this_process() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("Threads:", 0) == 0) return std::strtol(line.c_str() + 8, nullptr, 10);
  return 0;
}

// GNU OpenMP ends the process where it cannot start a thread, as in a container that allows few.
bool can_start(int threads) {
  const long before = threads_of_this_process();
  std::mutex mutex;
  mutex.lock();
  std::vector<std::thread> started;
  bool enough = true;
  try {
    started.reserve(static_cast<size_t>(threads));
    for (int i = 0; i < threads; ++i)
      started.emplace_back([&mutex] { const std::lock_guard<std::mutex> wait(mutex); });
  } catch (const std::exception&) {
    enough = false;
  }
  mutex.unlock();
  for (std::thread& thread : started) thread.join();
  // Joined ones count for a moment more.
  for (int i = 0; enough && threads_of_this_process() > before; ++i) {
    if (i == 100) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return enough;
}
#endif

void end_teams_before_forks() {
#ifdef EDGEPOSE_GNU_OPENMP
  static const int registered =
      pthread_atfork([] { omp_pause_resource_all(omp_pause_soft); }, nullptr, nullptr);
  static_cast<void>(registered);
#endif
}

}  // namespace

// A team belongs to the thread that started it and lasts as long as that thread.
struct ShortOpenmpWaits::Team {
  Team() {
#ifdef EDGEPOSE_GNU_OPENMP
    owner = std::thread([this] {
      const int threads = std::max(omp_get_num_procs(), kProcessorsAtStart) + 1;
      // Without a team work is slower where processors are busy, no more.
      if (can_start(threads - 1)) {
        // The compiler drops a region that does nothing.
#pragma omp parallel num_threads(threads)
        started.fetch_add(1, std::memory_order_relaxed);
      }
      std::unique_lock<std::mutex> lock(mutex);
      ready = true;
      changed.notify_all();
      changed.wait(lock, [this] { return stopping; });
    });
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return ready; });
#endif
  }
  ~Team() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    if (owner.joinable()) owner.join();
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<int> started{0};
  bool ready = false;
  bool stopping = false;
  std::thread owner;
};

ShortOpenmpWaits::ShortOpenmpWaits() : team_(std::make_unique<Team>()) {}
ShortOpenmpWaits::~ShortOpenmpWaits() = default;

std::shared_ptr<ShortOpenmpWaits> ShortOpenmpWaits::acquire() {
  end_teams_before_forks();
  static std::mutex mutex;
  static std::weak_ptr<ShortOpenmpWaits> shared;
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<ShortOpenmpWaits> team = shared.lock();
  if (team == nullptr) {
    team = std::make_shared<ShortOpenmpWaits>();
    shared = team;
  }
  return team;
}

}  // namespace edgepose
