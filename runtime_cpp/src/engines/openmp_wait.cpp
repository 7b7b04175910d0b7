#include "engines/openmp_wait.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__)
#include <omp.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
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
// GNU OpenMP ends the process where it cannot start a thread, as in a container that allows few.
bool can_start(int threads) {
  const auto count = static_cast<size_t>(threads);
  std::vector<long> ids(count);
  std::vector<std::thread> started;
  bool enough = true;
  std::mutex mutex;
  mutex.lock();
  try {
    started.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      started.emplace_back([&mutex, id = &ids[i]] {
        *id = syscall(SYS_gettid);
        const std::lock_guard<std::mutex> wait(mutex);
      });
    }
  } catch (const std::exception&) {
    enough = false;
  }
  mutex.unlock();
  for (std::thread& thread : started) thread.join();
  // Joined ones count against the limit for a moment more.
  for (size_t i = 0; enough && i < count; ++i) {
    const std::string task = "/proc/self/task/" + std::to_string(ids[i]);
    for (int tries = 0; access(task.c_str(), F_OK) == 0; ++tries) {
      if (tries == 100) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return enough;
}
#endif

// What all holders share. The mutex is held during forks, or a forked process would find it locked
// for ever; the team's threads are not there in one.
struct Shared {
  std::mutex mutex;
  std::weak_ptr<ShortOpenmpWaits> team;
};

Shared& shared() {
  static Shared of_process;
  return of_process;
}

void end_teams_before_forks() {
#ifdef EDGEPOSE_GNU_OPENMP
  static const int registered = pthread_atfork(
      [] {
        shared().mutex.lock();
        omp_pause_resource_all(omp_pause_soft);
      },
      [] { shared().mutex.unlock(); },
      [] {
        shared().team.reset();
        shared().mutex.unlock();
      });
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
  const std::lock_guard<std::mutex> lock(shared().mutex);
  std::shared_ptr<ShortOpenmpWaits> team = shared().team.lock();
  if (team == nullptr) {
    team = std::make_shared<ShortOpenmpWaits>();
    shared().team = team;
  }
  return team;
}

}  // namespace edgepose
