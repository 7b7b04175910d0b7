#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "edgepose/pipeline.h"
#include "test_bundles.h"

namespace {

std::atomic<int64_t> allocations{0};
std::atomic<int64_t> kept{0};  // allocated and not freed

void* counted(std::size_t bytes) {
  allocations.fetch_add(1);
  kept.fetch_add(1);
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void released(void* memory) {
  if (memory != nullptr) kept.fetch_sub(1);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { released(memory); }
void operator delete[](void* memory) noexcept { released(memory); }
void operator delete(void* memory, std::size_t) noexcept { released(memory); }
void operator delete[](void* memory, std::size_t) noexcept { released(memory); }

namespace edgepose {
namespace {

TEST(AllocationTest, TheCounterCounts) {
  const int64_t before = allocations;
  std::vector<int> numbers(100);
  EXPECT_EQ(allocations, before + 1) << numbers.size();
}

TEST(AllocationTest, ASteadyStateAllocatesNothing) {
  for (const char* name : {"top_down", "detect", "pose", "pose_3d", "one_stage"}) {
    for (const int threads : {1, 2}) {
      const auto pipeline = open_pipeline(test_bundle(name), threads);
      ASSERT_NE(pipeline, nullptr);
      std::vector<TestPicture> pictures;
      pictures.reserve(6);
      for (unsigned seed = 0; seed < 6; ++seed) pictures.emplace_back(64, 48, seed);
      std::vector<Pose> poses;
      StageTimings timings;
      size_t fewest = 1000;
      size_t most = 0;
      for (const TestPicture& picture : pictures) {
        ASSERT_TRUE(pipeline->process(picture.view(), 0, &poses, &timings).ok());
        fewest = std::min(fewest, poses.size());
        most = std::max(most, poses.size());
      }
      if (pipeline->bundle().model("detector") != nullptr) {
        EXPECT_LT(fewest, most) << "the pictures must differ in their number of persons";
      }
      const int64_t before = allocations;
      for (int round = 0; round < 5; ++round) {
        for (const TestPicture& picture : pictures) {
          const Status status = pipeline->process(picture.view(), round, &poses, &timings);
          if (!status.ok()) ADD_FAILURE() << status.message();
        }
      }
      EXPECT_EQ(allocations - before, 0) << name << " with " << threads << " threads";
    }
  }
}

TEST(AllocationTest, TrackingAllocatesNothingOnceAllWereSeen) {
  for (const char* name : {"top_down", "detect", "pose_3d", "one_stage"}) {
    for (const auto& [detect_every, detect_delay] : {std::pair{1, 0}, {3, 0}, {3, 2}}) {
      if (detect_every > 1 && std::string(name) != "top_down") continue;
      const auto pipeline = open_tracking(test_bundle(name), 1, true, detect_every, detect_delay);
      ASSERT_NE(pipeline, nullptr);
      std::vector<TestPicture> pictures;
      pictures.reserve(6);
      for (unsigned seed = 0; seed < 6; ++seed) pictures.emplace_back(64, 48, seed);
      std::vector<Pose> poses;
      int64_t time_ns = 0;
      int64_t before = 0;
      for (int round = 0; round < 80; ++round) {
        if (round == 40) before = allocations;
        for (const TestPicture& picture : pictures) {
          const Status status = pipeline->process(picture.view(), time_ns += 33000000, &poses);
          if (!status.ok()) ADD_FAILURE() << status.message();
        }
      }
      EXPECT_EQ(allocations - before, 0)
          << name << ", detect_every " << detect_every << ", detect_delay " << detect_delay;
    }
  }
}

// Whose poses the list holds: a pipeline keeps no more memory for later than its frames needed.
TEST(AllocationTest, AListThatTwoPipelinesFillByTurnsTakesNoMoreMemory) {
  const auto crowded = open_pipeline(test_bundle("pose"), 1);
  const auto deserted = open_pipeline(test_bundle("pose"), 1);
  ASSERT_NE(crowded, nullptr);
  ASSERT_NE(deserted, nullptr);
  const TestPicture picture(64, 48, 1);
  const std::vector<BoxXyxy> boxes(5, BoxXyxy{8, 8, 40, 40});
  std::vector<Pose> poses;
  int64_t before = 0;
  for (int round = 0; round < 30; ++round) {
    if (round == 10) before = kept;
    ASSERT_TRUE(crowded->process_boxes(picture.view(), 0, boxes, &poses).ok());
    ASSERT_EQ(poses.size(), 5U);
    ASSERT_TRUE(deserted->process_boxes(picture.view(), 0, {}, &poses).ok());
    ASSERT_TRUE(poses.empty());
  }
  EXPECT_EQ(kept, before);
}

int64_t resident_pages() {
  int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident;
}

// EDGEPOSE_MANY_FRAMES=1000000 makes it a test of endurance.
TEST(AllocationTest, MemoryDoesNotGrowOverManyFrames) {
  const char* wanted = std::getenv("EDGEPOSE_MANY_FRAMES");
  const int64_t frames = wanted != nullptr ? std::atoll(wanted) : 5000;
  ASSERT_GE(frames, 1000);
  const auto pipeline = open_tracking(test_bundle("top_down"), 2, true, 5);
  ASSERT_NE(pipeline, nullptr);
  std::vector<TestPicture> pictures;
  pictures.reserve(6);
  for (unsigned seed = 0; seed < 6; ++seed) pictures.emplace_back(64, 48, seed);
  std::vector<Pose> poses;
  int64_t allocations_before = 0, pages_before = 0, persons = 0;
  for (int64_t i = 1; i <= frames; ++i) {
    const auto& picture = pictures[static_cast<size_t>(i % 30) / 5];
    ASSERT_TRUE(pipeline->process(picture.view(), i * 33000000, &poses).ok());
    persons += static_cast<int64_t>(poses.size());
    if (i == frames / 5) {
      pages_before = resident_pages();  // allocates itself
      allocations_before = allocations;
    }
  }
  EXPECT_GT(persons, frames) << "the pictures must hold persons";
  EXPECT_EQ(allocations - allocations_before, 0);
  EXPECT_LE(resident_pages() - pages_before, 64);
}

}  // namespace
}  // namespace edgepose
