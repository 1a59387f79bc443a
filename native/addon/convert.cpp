#include "addon/convert.h"

#include <cmath>
#include <limits>
#include <memory>
#include <utility>

namespace qwen::addon {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;  // 2^53 - 1

bool is_absent(const Napi::Value& value) { return value.IsUndefined() || value.IsNull(); }

const char* type_name(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_function:
      return "a function";
    case napi_object:
      return value.IsArray() ? "an array" : "an object";
    default:
      return "something else";
  }
}

[[noreturn]] void refuse(const std::string& name, const std::string& expected,
                         const Napi::Value& got) {
  const std::string what = got.IsNumber() ? got.ToString().Utf8Value() : type_name(got);
  throw errors::EngineError(errors::ErrorCode::InvalidArgument,
                            name + ": expected " + expected + ", got " + what);
}

Napi::Object to_object(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject() || value.IsArray() || value.IsFunction()) refuse(name, "an object", value);
  return value.As<Napi::Object>();
}

double to_number(const Napi::Value& value, const std::string& name) {
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue())) {
    refuse(name, "a finite number", value);
  }
  return value.As<Napi::Number>();
}

// Exact in both languages.
int64_t to_integer(const Napi::Value& value, const std::string& name) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(std::abs(number) <= kMaxSafeInteger) || number != std::trunc(number)) {
    refuse(name, "an integer", value);
  }
  return static_cast<int64_t>(number);
}

int64_t to_count(const Napi::Value& value, const std::string& name) {
  const int64_t count = to_integer(value, name);
  if (count < 0) refuse(name, "an integer of 0 or more", value);
  return count;
}

std::vector<int64_t> to_token_ids(const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    refuse(name, "an Int32Array", value);
  }
  const auto ids = value.As<Napi::Int32Array>();
  return {ids.Data(), ids.Data() + ids.ElementLength()};
}

engine::RawImage to_image_size(const Napi::Object& image) {
  return {
      .width = to_count(image.Get("width"), "image.width"),
      .height = to_count(image.Get("height"), "image.height"),
      .channels = to_count(image.Get("channels"), "image.channels"),
      .data = {},
  };
}

std::vector<uint8_t> to_pixels(const Napi::Value& data, const engine::RawImage& size) {
  if (!data.IsTypedArray() || data.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    refuse("image.data", "a Uint8Array", data);
  }
  const auto bytes = data.As<Napi::Uint8Array>();
  const double expected = static_cast<double>(size.width) * static_cast<double>(size.height) *
                          static_cast<double>(size.channels);
  if (static_cast<double>(bytes.ElementLength()) != expected) {
    refuse("image.data", "width * height * channels bytes",
           Napi::Number::New(data.Env(), static_cast<double>(bytes.ElementLength())));
  }
  return {bytes.Data(), bytes.Data() + bytes.ElementLength()};
}

void take_image(const Napi::Value& value, SentRequest& sent) {
  const Napi::Object object = to_object(value, "image");
  engine::RawImage& image = sent.request.image.emplace(to_image_size(object));
  if (const Napi::Value path = object.Get("path"); !is_absent(path)) {
    sent.image_path = to_string(path, "image.path");
  } else {
    image.data = to_pixels(object.Get("data"), image);
  }
}

Napi::Object vae_memory_value(Napi::Env env, const engine::MemoryModel::Vae& vae) {
  Napi::Object value = Napi::Object::New(env);
  value["weights"] = vae.weights;
  value["perWorkPixel"] = vae.per_work_pixel;
  value["perPixel"] = vae.per_pixel;
  return value;
}

Napi::Object memory_value(Napi::Env env, const engine::MemoryModel& memory) {
  Napi::Object request = Napi::Object::New(env);
  request["perInputPixel"] = memory.request.per_input_pixel;
  request["perPicturePixel"] = memory.request.per_picture_pixel;
  request["perTextToken"] = memory.request.per_text_token;
  Napi::Object text_encoder = Napi::Object::New(env);
  text_encoder["weights"] = memory.text_encoder.weights;
  text_encoder["perToken"] = memory.text_encoder.per_token;
  Napi::Object transformer = Napi::Object::New(env);
  transformer["weights"] = memory.transformer.weights;
  transformer["perStep"] = memory.transformer.per_step;
  transformer["stepsAtOnce"] = memory.transformer.steps_at_once;
  transformer["perPixel"] = memory.transformer.per_pixel;
  transformer["perBranchPixel"] = memory.transformer.per_branch_pixel;
  transformer["perTextToken"] = memory.transformer.per_text_token;
  Napi::Object tiling = Napi::Object::New(env);
  tiling["abovePixels"] =
      memory.tiling.above_pixels
          ? Napi::Value(Napi::Number::New(env, static_cast<double>(*memory.tiling.above_pixels)))
          : env.Null();
  tiling["tilePixels"] = memory.tiling.tile_pixels;

  Napi::Object value = Napi::Object::New(env);
  value["budget"] = memory.budget;
  value["resident"] = memory.resident;
  value["request"] = request;
  value["textEncoder"] = text_encoder;
  value["transformer"] = transformer;
  value["vaeEncoder"] = vae_memory_value(env, memory.vae_encoder);
  value["vaeDecoder"] = vae_memory_value(env, memory.vae_decoder);
  value["tiling"] = tiling;
  return value;
}

const char* stage_name(engine::Stage stage) {
  switch (stage) {
    case engine::Stage::Encode:
      return "encode";
    case engine::Stage::Denoise:
      return "denoise";
    case engine::Stage::Decode:
      return "decode";
  }
  throw errors::EngineError(errors::ErrorCode::Internal, "a stage without a name");
}

Napi::Object image_value(Napi::Env env, engine::RawImage&& image) {
  Napi::Object value = Napi::Object::New(env);
  value["width"] = image.width;
  value["height"] = image.height;
  value["channels"] = image.channels;
  auto owned = std::make_unique<std::vector<uint8_t>>(std::move(image.data));
  uint8_t* const bytes = owned->data();
  const size_t size = owned->size();
  value["data"] = Napi::Buffer<uint8_t>::NewOrCopy(
      env, bytes, size, [](Napi::Env, uint8_t*, std::vector<uint8_t>* held) { delete held; },
      owned.release());
  return value;
}

}  // namespace

std::string to_string(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) refuse(name, "a string", value);
  return value.As<Napi::String>();
}

Napi::Function to_function(const Napi::Value& value, const std::string& name) {
  if (!value.IsFunction()) refuse(name, "a function", value);
  return value.As<Napi::Function>();
}

engine::LoadOptions to_load_options(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "options");
  engine::LoadOptions options;
  options.device = to_string(object.Get("device"), "device");
  options.dtype = to_string(object.Get("dtype"), "dtype");
  options.vae_tiling = to_string(object.Get("vaeTiling"), "vaeTiling");

  const Napi::Value residency = object.Get("residency");
  const std::string residency_name = to_string(residency, "residency");
  if (residency_name != "resident" && residency_name != "sequential") {
    refuse("residency", "'resident' or 'sequential'", residency);
  }
  options.sequential = residency_name == "sequential";

  const Napi::Value threads = object.Get("threads");
  if (!threads.IsString() || to_string(threads, "threads") != "auto") {
    const int64_t count = to_integer(threads, "threads");
    if (count < 1 || count > std::numeric_limits<int>::max()) {
      refuse("threads", "'auto' or a positive integer", threads);
    }
    options.threads = static_cast<int>(count);
  }

  const Napi::Value budget = object.Get("memoryBudget");
  if (!is_absent(budget)) options.memory_budget = to_count(budget, "memoryBudget");
  return options;
}

SentRequest to_sent_request(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "request");
  SentRequest sent;
  engine::GenerateRequest& request = sent.request;
  request.prompt_ids = to_token_ids(object.Get("promptIds"), "promptIds");
  const Napi::Value negative = object.Get("negativePromptIds");
  if (!is_absent(negative))
    request.negative_prompt_ids = to_token_ids(negative, "negativePromptIds");
  request.drop_index = to_count(object.Get("dropIndex"), "dropIndex");
  request.max_sequence_length = to_count(object.Get("maxSequenceLength"), "maxSequenceLength");
  request.width = to_count(object.Get("width"), "width");
  request.height = to_count(object.Get("height"), "height");
  request.num_inference_steps = to_count(object.Get("numInferenceSteps"), "numInferenceSteps");
  request.true_cfg_scale = to_number(object.Get("trueCfgScale"), "trueCfgScale");
  request.seed = static_cast<uint64_t>(to_count(object.Get("seed"), "seed"));
  request.num_images = to_count(object.Get("numImages"), "numImages");
  if (const Napi::Value image = object.Get("image"); !is_absent(image)) take_image(image, sent);
  if (const Napi::Value strength = object.Get("strength"); !is_absent(strength)) {
    request.strength = to_number(strength, "strength");
  }
  if (const Napi::Value previews = object.Get("previews"); !is_absent(previews)) {
    request.previews = to_count(previews, "previews");
  }
  return sent;
}

Napi::Value to_value(Napi::Env env, const engine::ModelInfo& model) {
  Napi::Object device = Napi::Object::New(env);
  device["type"] = model.device.type;
  device["id"] = model.device.id;
  device["name"] = model.device.name;
  device["threads"] = model.device.threads;

  Napi::Object value = Napi::Object::New(env);
  value["class"] = model.pipeline_class;
  value["dtype"] = model.dtype;
  value["parameters"] = model.parameters;
  value["sizeMultiple"] = model.size_multiple;
  value["minSteps"] = model.min_steps;
  value["defaultSide"] = model.default_side;
  value["device"] = device;
  value["memory"] = memory_value(env, model.memory);
  return value;
}

Napi::Value to_value(Napi::Env env, const engine::BuildInfo& build) {
  Napi::Object value = Napi::Object::New(env);
  value["libtorch"] = build.libtorch;
  value["cuda"] = build.cuda ? Napi::Value(Napi::String::New(env, *build.cuda)) : env.Null();
  return value;
}

Napi::Value to_value(Napi::Env env, const engine::DeviceStats& stats) {
  Napi::Object value = Napi::Object::New(env);
  value["memoryUsed"] = stats.memory_used;
  value["memoryTotal"] = stats.memory_total;
  return value;
}

Napi::Value to_value(Napi::Env env, const engine::Progress& progress) {
  Napi::Object value = Napi::Object::New(env);
  value["stage"] = stage_name(progress.stage);
  value["image"] = progress.image;
  value["step"] = progress.step;
  value["total"] = progress.total;
  return value;
}

Napi::Value to_value(Napi::Env env, engine::Preview&& preview) {
  Napi::Object value = Napi::Object::New(env);
  value["image"] = preview.image;
  value["index"] = preview.index;
  value["step"] = preview.step;
  value["picture"] = image_value(env, std::move(preview.picture));
  return value;
}

Napi::Value to_value(Napi::Env env, engine::GenerateResult&& result) {
  Napi::Array images = Napi::Array::New(env, result.images.size());
  for (uint32_t i = 0; i < result.images.size(); ++i) {
    images[i] = image_value(env, std::move(result.images[i]));
  }
  Napi::Object timings = Napi::Object::New(env);
  timings["encodeMs"] = result.timings.encode_ms;
  timings["denoiseMs"] = result.timings.denoise_ms;
  timings["decodeMs"] = result.timings.decode_ms;
  timings["totalMs"] = result.timings.total_ms;

  Napi::Object value = Napi::Object::New(env);
  value["images"] = images;
  value["timings"] = timings;
  value["vaeTiled"] = result.vae_tiled;
  return value;
}

Napi::Value to_value(Napi::Env env, const errors::EngineError& error) {
  Napi::Error value = Napi::Error::New(env, error.what());
  value.Set("code", Napi::String::New(env, errors::error_code_name(error.code())));
  return value.Value();
}

}  // namespace qwen::addon
