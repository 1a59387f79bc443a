#include "models/vae/autoencoder.h"

#include <ATen/ATen.h>

#include "models/vae/tiles.h"

namespace qwen::models::vae {
namespace {

// [C] → [1, C, 1, 1]; float32 first, then the latents' dtype: the reference rounds twice.
at::Tensor channel_row(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kFloat).view({1, -1, 1, 1}).to(like.options());
}

}  // namespace

bool is_unused(const std::string& name) { return name.find(".time_conv.") != std::string::npos; }

at::Tensor Posterior::deviation() const { return at::exp(0.5 * logvar); }

Autoencoder::Autoencoder(const weights::Weights& w, const Config& config)
    : config_(config),
      encoder_(w / "encoder", config),
      quant_conv_(w / "quant_conv", {.in = 2 * config.z_dim, .out = 2 * config.z_dim, .kernel = 1}),
      post_quant_conv_(w / "post_quant_conv",
                       {.in = config.z_dim, .out = config.z_dim, .kernel = 1}),
      decoder_(w / "decoder", config) {}

Posterior Autoencoder::encode(const at::Tensor& image, const Tiling* tiling,
                              const Poll& poll) const {
  const auto pass = [&](const at::Tensor& tile) {
    return quant_conv_(encoder_(tile.contiguous(at::MemoryFormat::ChannelsLast), poll));
  };
  at::Tensor moments;
  if (tiling != nullptr && std::max(image.size(2), image.size(3)) > tiling->tile) {
    const int64_t ratio = config_.spatial_ratio();
    moments = run_tiled(image,
                        {.tile_in = tiling->tile,
                         .stride_in = tiling->stride,
                         .tile_out = tiling->tile / ratio,
                         .stride_out = tiling->stride / ratio,
                         .height_out = image.size(2) / ratio,
                         .width_out = image.size(3) / ratio},
                        pass);
  } else {
    moments = pass(image);
  }
  return {moments.narrow(1, 0, config_.z_dim),
          moments.narrow(1, config_.z_dim, config_.z_dim).clamp(-30.0, 20.0)};
}

at::Tensor Autoencoder::decode(const at::Tensor& latents, const Tiling* tiling,
                               const Poll& poll) const {
  const auto pass = [&](const at::Tensor& tile) {
    return decoder_(post_quant_conv_(tile.contiguous(at::MemoryFormat::ChannelsLast)), poll);
  };
  const int64_t ratio = config_.spatial_ratio();
  if (tiling != nullptr && std::max(latents.size(2), latents.size(3)) > tiling->tile / ratio) {
    return run_tiled(latents,
                     {.tile_in = tiling->tile / ratio,
                      .stride_in = tiling->stride / ratio,
                      .tile_out = tiling->tile,
                      .stride_out = tiling->stride,
                      .height_out = latents.size(2) * ratio,
                      .width_out = latents.size(3) * ratio},
                     pass);
  }
  return pass(latents).clamp_(-1.0, 1.0);
}

at::Tensor normalize(const at::Tensor& latents, const Config& config) {
  const at::Tensor inverse_std = 1.0 / channel_row(config.latents_std, latents);
  return (latents - channel_row(config.latents_mean, latents)) * inverse_std;
}

at::Tensor denormalize(const at::Tensor& latents, const Config& config) {
  const at::Tensor inverse_std = 1.0 / channel_row(config.latents_std, latents);
  return latents / inverse_std + channel_row(config.latents_mean, latents);
}

}  // namespace qwen::models::vae
