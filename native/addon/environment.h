#pragma once

#include <napi.h>

#include <future>
#include <memory>
#include <vector>

#include "addon/session.h"

namespace qwen::addon {

// One JavaScript environment (the main thread or a worker thread) that has loaded the addon. Before
// it ends, its sessions are cancelled and freed: neither process.exit() nor worker.terminate()
// waits for a thread that Node did not start.
class Environment final {
 public:
  static void open(Napi::Env env);
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  ~Environment();
  std::shared_ptr<Session> new_session();

 private:
  // Ready when the engine thread has left every session and freed the models.
  std::future<void> close();
  void close_before_exit(int exit_code);

  std::vector<std::weak_ptr<Session>> sessions_;
};

}  // namespace qwen::addon
