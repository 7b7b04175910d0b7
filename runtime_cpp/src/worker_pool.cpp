#include "worker_pool.h"

namespace edgepose {

WorkerPool::WorkerPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads > 1 ? threads - 1 : 0));
  try {
    for (int worker = 1; worker < threads; ++worker) {
      threads_.emplace_back([this, worker] { serve(worker); });
    }
  } catch (...) {  // the system gives no more threads: those there are must end first
    stop();
    throw;
  }
}

WorkerPool::~WorkerPool() { stop(); }

void WorkerPool::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run(int count, Task task, void* context) {
  if (count <= 1 || threads_.empty()) {
    for (int item = 0; item < count; ++item) task(context, 0, item);
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    task_ = task;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_ = static_cast<int>(threads_.size());
    ++round_;
  }
  wake_.notify_all();
  work(0);
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
}

void WorkerPool::work(int worker) {
  for (int item = next_.fetch_add(1); item < count_; item = next_.fetch_add(1))
    task_(context_, worker, item);
}

void WorkerPool::serve(int worker) {
  uint64_t seen = 0;
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this, seen] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
    }
    work(worker);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      --busy_;
    }
    done_.notify_one();
  }
}

}  // namespace edgepose
