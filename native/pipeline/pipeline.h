#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/qwen2_5_vl/text_model.h"
#include "models/qwen_image/transformer.h"
#include "models/vae/autoencoder.h"
#include "pipeline/memory_model.h"
#include "pipeline/request.h"
#include "pipeline/scheduler.h"
#include "pipeline/stage.h"

namespace qwen::pipeline {

enum class VaeTiling { Auto, Always, Never };

struct PipelineOptions {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  bool resident = true;
  VaeTiling vae_tiling = VaeTiling::Auto;
};

// Sees intermediate tensors of a run, for tests and tools: "image_latents" and "start" [S, C]
// packed, "step" [S, C] after each step, "decoded" [1, 3, H, W], of previews too. Off by default.
using Observer = std::function<void(std::string_view name, const at::Tensor& value)>;

// The models of a diffusers-layout folder and the one denoising loop of the family: prompts are
// encoded, latents start from noise or from a noised picture, each step predicts, guides and moves
// them, the VAE decodes.
class Pipeline final {
 public:
  // Reads configs and weights. Throws EngineError(InvalidModel) naming the file.
  Pipeline(const std::string& folder, const PipelineOptions& options);

  // Throws EngineError: InvalidArgument, Cancelled, NumericalFailure; InvalidModel where models are
  // loaded in turn. Other exceptions come from libtorch.
  GenerateResult generate(const GenerateRequest& request, const Events& events,
                          const CancelToken& cancel, const Observer& observer = {});

  int64_t size_multiple() const { return 2 * vae_config_.spatial_ratio(); }
  int64_t spatial_ratio() const { return vae_config_.spatial_ratio(); }
  int64_t min_steps() const { return scheduler_.min_steps(); }

  // True when the VAE works in tiles at this size: a function of options and size alone.
  bool tiles_vae(int64_t width, int64_t height) const;
  // The same as a threshold.
  MemoryModel::Tiling vae_tiles() const;

 private:
  struct Run;  // state of one request
  void encode_prompts(Run& run);
  void encode_image(Run& run);
  void denoise(Run& run);
  void decode_pictures(Run& run);
  // Sends `preview` on its way with the picture of the packed latents `clean` [S, C].
  void show(Run& run, Preview preview, const at::Tensor& clean);
  // latents [1, C, h, w]
  RawImage decode(const Run& run, const models::vae::Autoencoder& vae,
                  const at::Tensor& latents) const;
  at::Tensor start_latents(const Run& run, int64_t image) const;
  void check(const GenerateRequest& request) const;

  const PipelineOptions options_;
  const models::vae::Config vae_config_;
  const Scheduler scheduler_;
  StageModel<models::qwen2_5_vl::TextModel> text_encoder_;
  StageModel<models::qwen_image::Transformer> transformer_;
  StageModel<models::vae::Autoencoder> vae_;
};

}  // namespace qwen::pipeline
