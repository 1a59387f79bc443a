#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "addon/convert.h"
#include "addon/engine_thread.h"
#include "addon/job_channel.h"
#include "engine/out_of_memory.h"
#include "errors/error.h"

namespace qwen::addon {

using Settle = std::function<void(Napi::Env, const Napi::Promise::Deferred&)>;

// Runs `work` on the engine thread and settles a promise with `finish(env, result)`, or with what
// was thrown. `finally` runs on the JavaScript thread just before, also where nothing can be begun
// and this throws.
template <typename Work, typename Finish>
Napi::Promise run_engine_job(Napi::Env env, Napi::Function on_event, Work work, Finish finish,
                             std::function<void()> finally) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  const auto begin = [&] {
    EngineThread::instance();  // starts with the first job, if the system has a thread left
    return JobChannel::open(env, on_event);
  };
  std::shared_ptr<JobChannel> channel;
  try {
    channel = begin();
  } catch (...) {
    finally();
    throw;
  }
  const auto settle = [channel, deferred, finally](Settle how) {
    channel->send([=](Napi::Env env, Napi::Function) {
      finally();
      how(env, deferred);
    });
    channel->close();
  };
  const auto reject = [settle](errors::ErrorCode code, const char* message) {
    settle([error = errors::EngineError(code, message)](Napi::Env env, const auto& deferred) {
      deferred.Reject(to_value(env, error));
    });
  };
  EngineThread::instance().post([=, work = std::move(work)]() mutable {
    try {
      auto result = std::make_shared<decltype(work(*channel))>(work(*channel));
      settle([finish, result](Napi::Env env, const auto& deferred) {
        deferred.Resolve(finish(env, std::move(*result)));
      });
    } catch (const errors::EngineError& error) {
      reject(error.code(), error.what());
    } catch (const std::exception& error) {
      // The engine translates its own; this is thrown on the way from and to it.
      const errors::EngineError told = engine::to_engine_error(error);
      reject(told.code(), told.what());
    }
  });
  return deferred.Promise();
}

}  // namespace qwen::addon
