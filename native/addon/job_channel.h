#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

namespace qwen::addon {

// One job's way back to its JavaScript thread. Opened there, used from the engine thread; what is
// sent after the environment has ended is dropped.
class JobChannel final {
 public:
  // Runs on the JavaScript thread. `on_event` is the job's callback.
  using Delivery = std::function<void(Napi::Env env, Napi::Function on_event)>;

  static std::shared_ptr<JobChannel> open(Napi::Env env, Napi::Function on_event);

  void send(Delivery delivery);
  // Drops the delivery when JavaScript has fallen behind: an event that comes late is worth
  // nothing.
  void send_unless_late(Delivery delivery);
  // After the last delivery; lets the event loop go.
  void close();

 private:
  static void deliver(Napi::Env env, Napi::Function on_event, JobChannel* channel,
                      Delivery* delivery);
  using Function = Napi::TypedThreadSafeFunction<JobChannel, Delivery, &JobChannel::deliver>;

  std::atomic<int> waiting_ = 0;
  // Node frees the function when the environment ends, whatever other threads hold: `closed_` says
  // so.
  std::mutex mutex_;
  bool closed_ = false;
  Function function_;
};

}  // namespace qwen::addon
