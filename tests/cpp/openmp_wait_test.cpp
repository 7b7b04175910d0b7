#include "engines/openmp_wait.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <system_error>

namespace edgepose {
namespace {

long threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
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

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
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
