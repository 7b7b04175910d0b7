#include "worker_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <system_error>
#include <vector>

namespace edgepose {
namespace {

struct Round {
  std::vector<std::atomic<int>> runs;
  std::vector<std::atomic<int>> inside;
  std::atomic<bool> overlapped{false};
};

void task(void* context, int worker, int item) {
  Round& round = *static_cast<Round*>(context);
  if (round.inside[static_cast<size_t>(worker)].fetch_add(1) != 0) round.overlapped = true;
  round.runs[static_cast<size_t>(item)].fetch_add(1);
  round.inside[static_cast<size_t>(worker)].fetch_sub(1);
}

TEST(WorkerPoolTest, RunsEveryItemOnceInEveryRound) {
  for (const int threads : {1, 2, 5}) {
    WorkerPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int round_index = 0; round_index < 500; ++round_index) {
      const int count = round_index % 12;
      Round round{std::vector<std::atomic<int>>(12),
                  std::vector<std::atomic<int>>(static_cast<size_t>(threads)),
                  {}};
      pool.run(count, task, &round);
      for (int item = 0; item < 12; ++item) {
        ASSERT_EQ(round.runs[static_cast<size_t>(item)].load(), item < count ? 1 : 0)
            << "round " << round_index;
      }
      ASSERT_FALSE(round.overlapped.load());
    }
  }
}

// The limit counts the threads of a user, and root has none: the process becomes one who has no
// other.
void open_too_many_threads() {
  const rlimit few{4, 4};
  if (setrlimit(RLIMIT_NPROC, &few) != 0 || (geteuid() == 0 && setuid(54321) != 0)) std::_Exit(2);
  try {
    WorkerPool pool(64);
  } catch (const std::system_error&) {
    std::_Exit(0);
  }
  std::_Exit(1);
}

TEST(WorkerPoolTest, WhereTheSystemGivesNoMoreThreadsItThrowsAndEndsThoseItHas) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer follows no process that was forked off";
#endif
  EXPECT_EXIT(open_too_many_threads(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace edgepose
