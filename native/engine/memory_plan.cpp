#include "engine/memory_plan.h"

#include <algorithm>

#include "engine/device.h"
#include "errors/error.h"
#include "models/qwen2_5_vl/text_model.h"
#include "models/vae/autoencoder.h"
#include "pipeline/memory.h"
#include "weights/weights.h"

namespace qwen::engine {

using errors::EngineError;
using errors::ErrorCode;

namespace {

// The process before it draws: libraries, Node and the kernels that libraries compile (measured:
// 190 MB); on CUDA the context with its code and workspaces. Constants, so that two starts admit
// the same requests.
constexpr int64_t kCpuRuntime = int64_t{320} << 20;
constexpr int64_t kCudaRuntime = int64_t{1} << 30;

int64_t budget_of(const LoadOptions& options, c10::Device device) {
  return options.memory_budget > 0 ? options.memory_budget : device_stats(device).memory_total;
}

}  // namespace

FolderSize measure_folder(const std::string& folder) {
  FolderSize size;
  const auto add = [&](int64_t& needed, const std::string& part, const std::string& base,
                       const auto& rename, const auto& unused) {
    const auto checkpoint = weights::Checkpoint::open(folder + "/" + part, base, rename);
    for (const auto& [name, tensor] : checkpoint.tensors()) {
      size.parameters += tensor.numel();
      if (!unused(name)) needed += tensor.numel();
    }
  };
  const auto same = [](const std::string& name) { return name; };
  const auto all_used = [](const std::string&) { return false; };
  add(size.text_encoder, "text_encoder", "model", models::qwen2_5_vl::canonical_name,
      models::qwen2_5_vl::is_unused);
  add(size.transformer, "transformer", "diffusion_pytorch_model", same, all_used);
  add(size.vae, "vae", "diffusion_pytorch_model", same, models::vae::is_unused);
  return size;
}

at::ScalarType choose_dtype(const LoadOptions& options, c10::Device device,
                            const FolderSize& size) {
  const int64_t budget = budget_of(options, device);
  const int64_t elements = options.sequential
                               ? std::max({size.text_encoder, size.transformer, size.vae})
                               : size.text_encoder + size.transformer + size.vae;
  const auto fits = [&](at::ScalarType dtype) {
    return elements * static_cast<int64_t>(c10::elementSize(dtype)) <= budget;
  };
  at::ScalarType dtype = options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  if (options.dtype == "auto" && (device.is_cuda() || !fits(at::kFloat))) dtype = at::kBFloat16;
  if (!fits(dtype)) {
    const std::string smaller = std::string(dtype == at::kFloat ? "dtype bfloat16, " : "") +
                                (options.sequential ? "" : "residency sequential, ");
    throw EngineError(ErrorCode::InvalidModel,
                      "the weights need " +
                          std::to_string(elements * static_cast<int64_t>(c10::elementSize(dtype))) +
                          " bytes in " + (dtype == at::kFloat ? "float32" : "bfloat16") + ", " +
                          std::to_string(budget) + " are there: use " + smaller +
                          "a larger memoryBudget or a larger device");
  }
  return dtype;
}

MemoryModel plan_memory(const std::string& folder, const LoadOptions& options, c10::Device device,
                        c10::ScalarType dtype, const FolderSize& size) {
  MemoryModel memory = pipeline::describe_activations(
      models::qwen2_5_vl::TextConfig::read(folder + "/text_encoder/config.json"),
      models::qwen_image::Config::read(folder + "/transformer/config.json"),
      models::vae::Config::read(folder + "/vae/config.json"), pipeline::storage_of(dtype, device));
  const auto bytes = [&](int64_t elements) {
    return elements * static_cast<int64_t>(c10::elementSize(dtype));
  };
  memory.budget = budget_of(options, device);
  memory.resident = device.is_cuda() ? kCudaRuntime : kCpuRuntime + pipeline::kHeapHoles;
  if (options.sequential) {
    memory.text_encoder.weights = bytes(size.text_encoder);
    memory.transformer.weights = bytes(size.transformer);
    memory.vae_encoder.weights = memory.vae_decoder.weights = bytes(size.vae);
  } else {
    memory.resident += bytes(size.text_encoder + size.transformer + size.vae);
  }
  return memory;
}

}  // namespace qwen::engine
