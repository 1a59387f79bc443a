#pragma once

#include <ATen/core/Tensor.h>

#include "models/vae/coder.h"
#include "models/vae/config.h"
#include "weights/weights.h"

namespace qwen::models::vae {

// Diagonal Gaussian over latents, [B, z, h, w] each.
struct Posterior {
  at::Tensor mean, logvar;  // logvar clamped to -30..20
  at::Tensor deviation() const;
};

// Overlapping tiles in pixels: diffusers' enable_tiling() defaults.
struct Tiling {
  int64_t tile = 256;
  int64_t stride = 192;
};

// AutoencoderKLQwenImage on single pictures. model-spec chapter 7
class Autoencoder final {
 public:
  Autoencoder(const weights::Weights& w, const Config& config);

  const Config& config() const { return config_; }

  // image [B, 3, H, W] in -1..1, H and W multiples of the spatial ratio. `tiling`: null = in one
  // piece.
  Posterior encode(const at::Tensor& image, const Tiling* tiling, const Poll& poll) const;
  // Latents in the VAE's own scale [B, z, h, w] → image [B, 3, h * r, w * r], clamped to -1..1
  // unless tiled.
  at::Tensor decode(const at::Tensor& latents, const Tiling* tiling, const Poll& poll) const;

 private:
  const Config config_;
  Encoder encoder_;
  Conv quant_conv_, post_quant_conv_;
  Decoder decoder_;
};

// Between the VAE's scale and the transformer's, [B, z, h, w] both, rounded as the pipelines round:
// mean and std are brought to the latents' dtype first. The config's statistics suffice, no weights
// are needed.
at::Tensor normalize(const at::Tensor& latents, const Config& config);    // (z - mean) * (1 / std)
at::Tensor denormalize(const at::Tensor& latents, const Config& config);  // z / (1 / std) + mean

// Names of the checkpoint that a single picture never uses: convolutions over time.
bool is_unused(const std::string& name);

}  // namespace qwen::models::vae
