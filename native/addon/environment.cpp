#include "addon/environment.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "addon/engine_thread.h"

namespace qwen::addon {
namespace {

// A step of a large model on a CPU may take longer; the process must not.
constexpr std::chrono::seconds kExitLimit{5};

bool on_main_thread() { return syscall(SYS_gettid) == getpid(); }

}  // namespace

void Environment::open(Napi::Env env) {
  auto* const environment = new Environment;
  env.SetInstanceData(environment);
  // Of a worker thread only the destructor is sure to be called; process.exit() on the main thread
  // skips that one.
  if (!on_main_thread()) return;
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto on_exit = Napi::Function::New(env, [environment](const Napi::CallbackInfo& info) {
    environment->close_before_exit(info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value()
                                                      : 0);
  });
  process.Get("once").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), on_exit});
}

Environment::~Environment() { close().wait(); }

std::shared_ptr<Session> Environment::new_session() {
  std::erase_if(sessions_, [](const auto& session) { return session.expired(); });
  auto session = std::make_shared<Session>();
  sessions_.push_back(session);
  return session;
}

std::future<void> Environment::close() {
  for (const std::weak_ptr<Session>& weak : sessions_) {
    if (const auto session = weak.lock()) {
      session->close();
      EngineThread::instance().post([session] { session->engine.unload(); });
    }
  }
  const auto closed = std::make_shared<std::promise<void>>();
  EngineThread::instance().post([closed] { closed->set_value(); });
  return closed->get_future();
}

void Environment::close_before_exit(int exit_code) {
  if (close().wait_for(kExitLimit) == std::future_status::ready) return;
  // Static destructors under a running step crash: leave without them.
  std::fputs("qwen_image: the running step did not end in time, leaving it\n", stderr);
  _exit(exit_code);
}

}  // namespace qwen::addon
