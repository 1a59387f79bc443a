#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "engine/engine.h"

namespace qwen::addon {

enum class SessionState { Empty, Loading, Loaded, Disposed };

// What stands behind one JavaScript `Engine`. Jobs hold it too, so that an object collected in
// mid-run harms nothing. `engine` belongs to the engine thread, the rest to the JavaScript thread.
struct Session {
  engine::Engine engine;
  std::map<std::string, std::shared_ptr<engine::CancelToken>> jobs;
  std::deque<std::string> cancelled_early;  // ids of jobs that have not come yet, newest last
  SessionState state = SessionState::Empty;

  // Takes no more calls and ends the ones it has; the model is still to be unloaded on the engine
  // thread.
  void close() {
    state = SessionState::Disposed;
    for (const auto& [id, token] : jobs) token->cancel();
  }
};

}  // namespace qwen::addon
