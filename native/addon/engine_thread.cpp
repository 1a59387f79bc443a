#include "addon/engine_thread.h"

#include <thread>
#include <utility>

namespace qwen::addon {

EngineThread& EngineThread::instance() {
  static EngineThread* const thread = new EngineThread;
  return *thread;
}

EngineThread::EngineThread() {
  std::thread([this] { run(); }).detach();
}

void EngineThread::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  posted_.notify_one();
}

void EngineThread::run() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      posted_.wait(lock, [this] { return !waiting_.empty(); });
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

}  // namespace qwen::addon
