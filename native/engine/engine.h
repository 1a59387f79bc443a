#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pipeline/memory_model.h"
#include "pipeline/request.h"

// The engine as the addon and the tools see it: no libtorch in this header.
namespace qwen::engine {

using pipeline::CancelToken;
using pipeline::Events;
using pipeline::GenerateRequest;
using pipeline::GenerateResult;
using pipeline::MemoryModel;
using pipeline::Preview;
using pipeline::Progress;
using pipeline::RawImage;
using pipeline::Stage;
using pipeline::Timings;

struct LoadOptions {
  std::string device = "auto";      // auto | cpu | cuda | cuda:N
  std::string dtype = "auto";       // auto | float32 | bfloat16
  int threads = 0;                  // intra-op; 0: libtorch's default
  bool sequential = false;          // models take turns on the device
  std::string vae_tiling = "auto";  // auto | always | never
  int64_t memory_budget = 0;        // bytes to plan with; 0: what the device has
};

struct DeviceInfo {
  std::string type;  // cpu | cuda
  std::string id;    // cpu | cuda:N
  std::string name;  // product name
  int threads = 1;
};

struct ModelInfo {
  std::string pipeline_class;
  std::string dtype;
  int64_t parameters = 0;     // elements of all tensors in the folder
  int64_t size_multiple = 0;  // pixels
  int64_t min_steps = 1;
  int64_t default_side = 0;  // pixels: 128 latent cells, diffusers' default
  DeviceInfo device;
  MemoryModel memory;
};

struct DeviceStats {
  int64_t memory_used = 0;   // resident bytes of this process on a CPU, used device bytes on CUDA
  int64_t memory_total = 0;  // bytes
};

struct BuildInfo {
  std::string libtorch;
  std::optional<std::string> cuda;  // when the CUDA library and a device are there
};

BuildInfo build_info();

// Bytes of stored weights that models have been built from since the process began. May be called
// from any thread, also during a load.
int64_t loaded_bytes();

// One model on one device. Every call belongs to one thread; `stats` may come from another one, but
// not during load or unload. Everything thrown is an EngineError.
class Engine final {
 public:
  Engine();
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Replaces a loaded model. InvalidModel names the file; EngineUnavailable: no such device.
  ModelInfo load(const std::string& folder, const LoadOptions& options);
  // After OutOfMemory, as after every other error but DeviceLost, the engine goes on working.
  GenerateResult generate(const GenerateRequest& request, const Events& events,
                          const CancelToken& cancel);
  DeviceStats stats() const;
  void unload();

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace qwen::engine
