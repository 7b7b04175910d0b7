#include "engines/openmp_wait.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <iterator>

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

}  // namespace
}  // namespace edgepose
