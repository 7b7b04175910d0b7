#include "engines/openmp_wait.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <thread>
#include <vector>

namespace edgepose {
namespace {

long threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

// Threads that were joined or whose owner ended count for a moment more.
long fall_to(long expected) {
  for (int tries = 0; tries < 5000 && threads() > expected; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return threads();
}

TEST(ShortOpenmpWaits, CountTheProcessorsThatWereTakenAway) {
  cpu_set_t loaded;
  ASSERT_EQ(sched_getaffinity(0, sizeof loaded, &loaded), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);

  const long before = threads();
  const auto waits = ShortOpenmpWaits::acquire();
  const long started = threads() - before;
  if (started == 0) GTEST_SKIP() << "optional: not GNU OpenMP";
  EXPECT_GT(started, CPU_COUNT(&loaded));
}

// Threads that other parts of the program start meanwhile say nothing about the team's.
TEST(ShortOpenmpWaits, StartBesideOthersThatStart) {
  const long alone = threads();
  long all = 1000;
  const auto team = [&](auto&& meanwhile) {
    auto waits = ShortOpenmpWaits::acquire();
    meanwhile();
    const long started = fall_to(alone + all) - alone;
    waits.reset();
    EXPECT_EQ(fall_to(alone), alone);
    return started;
  };
  all = team([] {});
  if (all == 0) GTEST_SKIP() << "optional: not GNU OpenMP";
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> stopping{false};
    std::atomic<int> running{0};
    std::vector<std::thread> others;
    std::thread starter([&] {
      while (!stopping && others.size() < 200) {
        others.emplace_back([&] {
          ++running;
          while (!stopping) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
      }
    });
    while (running == 0) std::this_thread::yield();
    EXPECT_EQ(team([&] {
                stopping = true;
                starter.join();
                for (std::thread& other : others) other.join();
              }),
              all)
        << "round " << round;
  }
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
// A fork while a team is being started takes its lock along.
TEST(ShortOpenmpWaits, AreThereInAProcessForkedWhileTheyStart) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> stopping{false};
    std::thread opening([&stopping] {
      while (!stopping) ShortOpenmpWaits::acquire();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 5));
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // ends a child that waits for ever
      ShortOpenmpWaits::acquire();
      _exit(0);
    }
    stopping = true;
    opening.join();
    ASSERT_GE(child, 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0) << "round " << round;
  }
}

TEST(ShortOpenmpWaits, AreDoneWithoutWhereThreadsAreFew) {
  // The limit counts a user's threads, and is not for root, who can be somebody else.
  if (geteuid() != 0) GTEST_SKIP() << "optional: not root";
  constexpr int kNotSomebodyElse = 77;
  for (rlim_t most = 1; most <= 8; ++most) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const rlimit limit{most, most};
      if (setrlimit(RLIMIT_NPROC, &limit) != 0 || setuid(65534) != 0) _exit(kNotSomebodyElse);
      try {
        ShortOpenmpWaits::acquire();
      } catch (const std::system_error&) {
      }
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNotSomebodyElse)
      GTEST_SKIP() << "optional: there is nobody to be";
    EXPECT_EQ(status, 0) << "at most " << most << " threads";
  }
}
#endif

}  // namespace
}  // namespace edgepose
