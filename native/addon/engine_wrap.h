#pragma once

#include <napi.h>

#include <memory>

#include "addon/session.h"

namespace qwen::addon {

// The JavaScript class `Engine` (NativeEngine in libs/engine/src/binding.ts). Promises reject,
// `stats` throws, with an Error whose `code` is an error code.
class EngineWrap final : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineWrap(const Napi::CallbackInfo& info);
  ~EngineWrap() override;

 private:
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value generate(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  const std::shared_ptr<Session> session_;
};

}  // namespace qwen::addon
