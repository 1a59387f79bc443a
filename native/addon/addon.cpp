#include <napi.h>

#include "addon/convert.h"
#include "addon/engine_wrap.h"
#include "addon/environment.h"
#include "engine/engine.h"
#include "errors/error.h"

// The surface that libs/engine/src/binding.ts describes.
namespace qwen::addon {
namespace {

Napi::Value error_codes(const Napi::CallbackInfo& info) {
  const std::vector<std::string> names = errors::error_code_names();
  Napi::Array codes = Napi::Array::New(info.Env(), names.size());
  for (uint32_t i = 0; i < names.size(); ++i) codes[i] = Napi::String::New(info.Env(), names[i]);
  return codes;
}

Napi::Value build_info(const Napi::CallbackInfo& info) {
  return to_value(info.Env(), engine::build_info());
}

Napi::Value loaded_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(engine::loaded_bytes()));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  Environment::open(env);
  exports["Engine"] = EngineWrap::define(env);
  exports["errorCodes"] = Napi::Function::New(env, error_codes, "errorCodes");
  exports["buildInfo"] = Napi::Function::New(env, build_info, "buildInfo");
  exports["loadedBytes"] = Napi::Function::New(env, loaded_bytes, "loadedBytes");
  return exports;
}

}  // namespace

NODE_API_MODULE(qwen_image, init)

}  // namespace qwen::addon
