#ifndef EDGEPOSE_SRC_WORKER_POOL_H_
#define EDGEPOSE_SRC_WORKER_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace edgepose {

// Runs a task for the items 0..count-1 on the calling thread and `threads - 1` threads of its own.
// Starting a round allocates nothing.
class WorkerPool {
 public:
  explicit WorkerPool(int threads);  // std::system_error where the system gives no more threads
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls task(context, worker, item) once per item; worker is in 0..size()-1 and never runs two
  // items at a time. Returns when all are done. The task must not throw.
  using Task = void (*)(void* context, int worker, int item);
  void run(int count, Task task, void* context);

 private:
  void serve(int worker);
  void work(int worker);
  void stop();

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  uint64_t round_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
  Task task_ = nullptr;
  void* context_ = nullptr;
  int count_ = 0;
  std::atomic<int> next_{0};
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_WORKER_POOL_H_
