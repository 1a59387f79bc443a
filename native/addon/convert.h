#pragma once

#include <napi.h>

#include <string>

#include "engine/engine.h"
#include "errors/error.h"

// JavaScript values to structs and back; the shapes are those of libs/engine/src/binding.ts.
// Reading checks types and what would corrupt memory, and throws EngineError(InvalidArgument) that
// names the field; limits are the engine's.
namespace qwen::addon {

struct SentRequest {
  engine::GenerateRequest request;
  // Of a start picture whose pixels came as a file: `request.image` has its size and no data yet.
  std::string image_path;
};

std::string to_string(const Napi::Value& value, const std::string& name);
Napi::Function to_function(const Napi::Value& value, const std::string& name);
engine::LoadOptions to_load_options(const Napi::Value& value);
SentRequest to_sent_request(const Napi::Value& value);

Napi::Value to_value(Napi::Env env, const engine::ModelInfo& model);
Napi::Value to_value(Napi::Env env, const engine::BuildInfo& build);
Napi::Value to_value(Napi::Env env, const engine::DeviceStats& stats);
Napi::Value to_value(Napi::Env env, const engine::Progress& progress);
// Pixels change hands without a copy.
Napi::Value to_value(Napi::Env env, engine::Preview&& preview);
Napi::Value to_value(Napi::Env env, engine::GenerateResult&& result);
// An Error with `code`.
Napi::Value to_value(Napi::Env env, const errors::EngineError& error);

}  // namespace qwen::addon
