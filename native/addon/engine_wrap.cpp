#include "addon/engine_wrap.h"

#include <exception>
#include <string>
#include <utility>

#include "addon/convert.h"
#include "addon/engine_job.h"
#include "addon/environment.h"
#include "addon/pixel_file.h"
#include "engine/out_of_memory.h"
#include "errors/error.h"
#include "pipeline/headroom.h"

namespace qwen::addon {
namespace {

using errors::EngineError;
using errors::ErrorCode;

constexpr size_t kMaxCancelledEarly = 256;

Napi::Value rejected(Napi::Env env, Napi::Value reason) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(reason);
  return deferred.Promise();
}

// Everything that is wrong with a call rejects its promise; nothing is thrown at the caller.
template <typename Start>
Napi::Value promise_of(Napi::Env env, const Start& start) {
  try {
    return start();
  } catch (const EngineError& error) {
    return rejected(env, to_value(env, error));
  } catch (const Napi::Error& error) {
    return rejected(env, error.Value());  // a getter of an argument threw it
  } catch (const std::exception& error) {
    return rejected(env, to_value(env, engine::to_engine_error(error)));
  }
}

// As promise_of, for calls that answer at once.
template <typename Call>
Napi::Value value_of(Napi::Env env, const Call& call) {
  try {
    return call();
  } catch (const EngineError& error) {
    throw Napi::Error(env, to_value(env, error));
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error(env, to_value(env, engine::to_engine_error(error)));
  }
}

[[noreturn]] void refuse(const char* why) { throw EngineError(ErrorCode::EngineUnavailable, why); }

void require_open(const Session& session) {
  if (session.state == SessionState::Disposed) refuse("the engine is disposed");
  if (session.state == SessionState::Loading) refuse("a model is being loaded");
}

void require_loaded(const Session& session) {
  require_open(session);
  if (session.state == SessionState::Empty) refuse("no model is loaded");
}

Napi::Function no_events(Napi::Env env) {
  return Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
}

engine::Events events_to(JobChannel& channel) {
  return {
      .on_progress =
          [&channel](const engine::Progress& progress) {
            channel.send_unless_late([progress](Napi::Env env, Napi::Function on_event) {
              on_event.Call({to_value(env, progress)});
            });
          },
      .on_preview =
          [&channel](engine::Preview&& preview) {
            // A delivery can be copied, and pixels should not be.
            const auto held = std::make_shared<engine::Preview>(std::move(preview));
            channel.send([held](Napi::Env env, Napi::Function on_event) {
              on_event.Call({to_value(env, std::move(*held))});
            });
          },
  };
}

std::shared_ptr<engine::CancelToken> begin_job(Session& session, const std::string& id) {
  if (session.jobs.contains(id)) {
    throw EngineError(ErrorCode::InvalidArgument, "jobId: " + id + " is running already");
  }
  const auto token = std::make_shared<engine::CancelToken>();
  if (std::erase(session.cancelled_early, id) > 0) token->cancel();
  session.jobs.emplace(id, token);
  return token;
}

bool cancel_job(Session& session, const std::string& id) {
  const auto job = session.jobs.find(id);
  if (job != session.jobs.end()) {
    job->second->cancel();
    return true;
  }
  // Its generate may still be under way.
  auto& early = session.cancelled_early;
  std::erase(early, id);
  early.push_back(id);
  if (early.size() > kMaxCancelledEarly) early.pop_front();
  return false;
}

// What JavaScript makes of the pictures to send them: the message, which doubles as it grows.
void require_room_to_send(const engine::GenerateResult& result) {
  size_t bytes = pipeline::kLeastRoom;
  for (const engine::RawImage& image : result.images) bytes += 2 * image.data.size();
  pipeline::require_room(bytes);
}

}  // namespace

Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceMethod<&EngineWrap::load>("load"),
                         InstanceMethod<&EngineWrap::generate>("generate"),
                         InstanceMethod<&EngineWrap::cancel>("cancel"),
                         InstanceMethod<&EngineWrap::stats>("stats"),
                         InstanceMethod<&EngineWrap::dispose>("dispose"),
                     });
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info)
    : ObjectWrap(info), session_(Environment::of(info.Env()).new_session()) {}

// Jobs that still run are not cancelled: garbage collection must not decide about them. The model
// is freed behind them, on the engine's own thread.
EngineWrap::~EngineWrap() {
  if (session_->state == SessionState::Disposed) return;
  EngineThread::instance().post([session = session_] { session->engine.unload(); });
}

Napi::Value EngineWrap::load(const Napi::CallbackInfo& info) {
  return promise_of(info.Env(), [&]() -> Napi::Value {
    require_open(*session_);
    auto folder = to_string(info[0], "folder");
    auto options = to_load_options(info[1]);
    session_->state = SessionState::Loading;
    return run_engine_job(
        info.Env(), no_events(info.Env()),
        [session = session_, folder = std::move(folder), options = std::move(options)](
            JobChannel&) { return session->engine.load(folder, options); },
        [session = session_](Napi::Env env, engine::ModelInfo&& model) {
          if (session->state != SessionState::Disposed) session->state = SessionState::Loaded;
          return to_value(env, model);
        },
        [session = session_] {
          if (session->state == SessionState::Loading) session->state = SessionState::Empty;
        });
  });
}

Napi::Value EngineWrap::generate(const Napi::CallbackInfo& info) {
  return promise_of(info.Env(), [&]() -> Napi::Value {
    require_loaded(*session_);
    const std::string id = to_string(info[0], "jobId");
    auto sent = to_sent_request(info[1]);
    const Napi::Function on_event = to_function(info[2], "onEvent");
    const auto token = begin_job(*session_, id);
    return run_engine_job(
        info.Env(), on_event,
        [session = session_, sent = std::move(sent), token](JobChannel& channel) mutable {
          if (token->cancelled())
            throw EngineError(ErrorCode::Cancelled, "cancelled before it began");
          auto& [request, image_path] = sent;
          if (!image_path.empty()) read_pixels(image_path, *request.image);
          auto result = session->engine.generate(request, events_to(channel), *token);
          require_room_to_send(result);
          return result;
        },
        [](Napi::Env env, engine::GenerateResult&& result) {
          return to_value(env, std::move(result));
        },
        [session = session_, id] { session->jobs.erase(id); });
  });
}

Napi::Value EngineWrap::cancel(const Napi::CallbackInfo& info) {
  return value_of(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), cancel_job(*session_, to_string(info[0], "jobId")));
  });
}

Napi::Value EngineWrap::stats(const Napi::CallbackInfo& info) {
  return value_of(info.Env(), [&] {
    require_loaded(*session_);
    return to_value(info.Env(), session_->engine.stats());
  });
}

Napi::Value EngineWrap::dispose(const Napi::CallbackInfo& info) {
  return promise_of(info.Env(), [&]() -> Napi::Value {
    session_->close();
    return run_engine_job(
        info.Env(), no_events(info.Env()),
        [session = session_](JobChannel&) {
          session->engine.unload();
          return true;
        },
        [](Napi::Env env, bool) { return env.Undefined(); }, [] {});
  });
}

}  // namespace qwen::addon
