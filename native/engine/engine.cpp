#include "engine/engine.h"

#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <filesystem>

#include "engine/device.h"
#include "engine/headroom_allocator.h"
#include "engine/memory_plan.h"
#include "engine/out_of_memory.h"
#include "errors/error.h"
#include "pipeline/headroom.h"
#include "pipeline/pipeline.h"
#include "weights/json.h"
#include "weights/weights.h"

namespace qwen::engine {

using errors::EngineError;
using errors::ErrorCode;

namespace {

constexpr int64_t kDefaultLatentSide = 128;  // diffusers' default_sample_size
constexpr const char* kServedClass = "QwenImagePipeline";

// An error that is none of the request's: either this was all, or the device is of no more use.
[[noreturn]] void throw_unexpected(std::optional<c10::Device> device, const char* what) {
  const bool lost = device && !still_computes(*device);
  throw EngineError(lost ? ErrorCode::DeviceLost : ErrorCode::Internal, what);
}

// The one place where exceptions become codes. Runs `body` in inference mode, with `device` as the
// current one.
template <typename Body>
auto translated(std::optional<c10::Device> device, const Body& body) {
  try {
    const c10::InferenceMode inference;
    const c10::OptionalDeviceGuard current(device);
    return body();
  } catch (const EngineError& error) {
    if (error.code() != ErrorCode::OutOfMemory) throw;
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw_unexpected(device, error.what_without_backtrace());
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw_unexpected(device, error.what());
  }
  // Out of memory. Not before the caught exception is gone: it may lie at the end of the C
  // library's heap, which goes back to the system up to there.
  if (device) release_caches(*device);
  throw out_of_memory_error();
}

std::string read_pipeline_class(const std::string& folder) {
  if (!std::filesystem::is_directory(folder))
    errors::throw_invalid_model(folder + ": no such folder");
  const auto index = weights::ConfigReader::open(folder + "/model_index.json");
  const std::string name = index.text("_class_name", "");
  if (name != kServedClass) {
    index.refuse("_class_name", "be '" + std::string(kServedClass) + "'");
  }
  return name;
}

pipeline::VaeTiling parse_tiling(const std::string& name) {
  if (name == "auto") return pipeline::VaeTiling::Auto;
  if (name == "always") return pipeline::VaeTiling::Always;
  if (name == "never") return pipeline::VaeTiling::Never;
  throw EngineError(ErrorCode::InvalidArgument,
                    "vaeTiling must be auto, always or never, got '" + name + "'");
}

}  // namespace

struct Engine::Loaded {
  c10::Device device;
  pipeline::Pipeline pipeline;
};

Engine::Engine() {
  open_cuda_library();
  guard_cpu_allocations();
}
Engine::~Engine() = default;

BuildInfo build_info() {
  open_cuda_library();
  return {TORCH_VERSION, cuda_version()};
}

int64_t loaded_bytes() { return weights::bytes_taken(); }

ModelInfo Engine::load(const std::string& folder, const LoadOptions& options) {
  unload();
  const c10::Device device = translated(std::nullopt, [&] {
    if (options.dtype != "auto" && options.dtype != "float32" && options.dtype != "bfloat16") {
      throw EngineError(ErrorCode::InvalidArgument,
                        "dtype must be auto, float32 or bfloat16, got '" + options.dtype +
                            "': float16 overflows inside the transformer");
    }
    if (options.threads > 0) at::set_num_threads(options.threads);
    configure_backends();
    return resolve_device(options.device);
  });
  return translated(device, [&] {
    ModelInfo info;
    info.pipeline_class = read_pipeline_class(folder);
    const FolderSize size = measure_folder(folder);
    const at::ScalarType dtype = choose_dtype(options, device, size);
    loaded_.reset(new Loaded{
        device, pipeline::Pipeline(folder, {.device = device,
                                            .dtype = dtype,
                                            .resident = !options.sequential,
                                            .vae_tiling = parse_tiling(options.vae_tiling)})});
    info.dtype = dtype == at::kFloat ? "float32" : "bfloat16";
    info.parameters = size.parameters;
    info.memory = plan_memory(folder, options, device, dtype, size);
    info.memory.tiling = loaded_->pipeline.vae_tiles();
    info.size_multiple = loaded_->pipeline.size_multiple();
    info.min_steps = loaded_->pipeline.min_steps();
    info.default_side = kDefaultLatentSide * loaded_->pipeline.spatial_ratio();
    info.device = describe_device(device);
    return info;
  });
}

GenerateResult Engine::generate(const GenerateRequest& request, const Events& events,
                                const CancelToken& cancel) {
  if (!loaded_) throw EngineError(ErrorCode::EngineUnavailable, "no model is loaded");
  return translated(loaded_->device, [&] {
    if (!pipeline::has_room(pipeline::kLeastRoom)) release_caches(loaded_->device);
    // A thread on which oneDNN once finds no room for a kernel's code may find none ever after.
    pipeline::require_room(pipeline::kLeastRoom);
    return loaded_->pipeline.generate(request, events, cancel);
  });
}

DeviceStats Engine::stats() const {
  return translated(std::nullopt, [&] {
    return device_stats(loaded_ ? std::optional(loaded_->device) : std::nullopt);
  });
}

void Engine::unload() {
  if (!loaded_) return;
  const c10::Device device = loaded_->device;
  loaded_.reset();
  release_caches(device);
}

}  // namespace qwen::engine
