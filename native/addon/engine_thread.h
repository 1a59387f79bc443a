#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace qwen::addon {

// The one thread of the process that the engine works on, first come, first served: libtorch keeps
// a team of threads for each thread that calls it, and a GPU context wants one. Never destroyed: it
// may outlive static destructors.
class EngineThread final {
 public:
  static EngineThread& instance();
  // From any thread. `work` must not throw.
  void post(std::function<void()> work);

 private:
  EngineThread();
  [[noreturn]] void run();

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> waiting_;
};

}  // namespace qwen::addon
