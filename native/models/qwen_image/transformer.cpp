#include "models/qwen_image/transformer.h"

#include <ATen/ATen.h>

#include "ops/ops.h"

namespace qwen::models::qwen_image {
namespace {

constexpr double kEps = 1e-6;

std::vector<TransformerBlock> build_blocks(const weights::Weights& w, const Config& config) {
  std::vector<TransformerBlock> blocks;
  blocks.reserve(config.num_layers);
  for (int64_t i = 0; i < config.num_layers; ++i) blocks.emplace_back(w / i, config);
  return blocks;
}

}  // namespace

Transformer::Transformer(const weights::Weights& w, const Config& config)
    : config_(config),
      rope_(config.axes_dims_rope),
      img_in_(w / "img_in", config.in_channels, config.dim()),
      txt_norm_(w.get("txt_norm.weight", {config.joint_attention_dim})),
      txt_in_(w / "txt_in", config.joint_attention_dim, config.dim()),
      time_text_embed_(w / "time_text_embed" / "timestep_embedder", config.dim()),
      transformer_blocks_(build_blocks(w / "transformer_blocks", config)),
      norm_out_(w / "norm_out" / "linear", config.dim(), 2 * config.dim()),
      proj_out_(w / "proj_out", config.dim(),
                config.patch_size * config.patch_size * config.out_channels) {}

ScheduleModulation Transformer::modulate(const at::Tensor& timesteps) const {
  ScheduleModulation modulation;
  modulation.temb = time_text_embed_(timesteps);
  const at::Tensor silu_temb = at::silu(modulation.temb);
  for (const TransformerBlock& block : transformer_blocks_) {
    modulation.blocks.push_back(block.modulate(silu_temb));
  }
  modulation.norm_out = norm_out_(silu_temb);
  return modulation;
}

Conditioning Transformer::condition(const std::vector<at::Tensor>& texts,
                                    const std::vector<TokenGrid>& grids) const {
  Conditioning conditioning;
  JointLayout& layout = conditioning.layout;
  const at::Device device = texts.at(0).device();
  for (const at::Tensor& text : texts) {
    layout.txt_lengths.push_back(text.size(0));
    layout.txt_rope.push_back(rope_.text(text.size(0), grids, device));
  }
  layout.img_rope = rope_.image(grids, device);
  const at::Tensor joined =
      at::cat(texts, 0).unsqueeze(0);  // [1, sum of lengths, joint_attention_dim]
  conditioning.txt = txt_in_(ops::rms_norm(joined, txt_norm_, kEps));
  return conditioning;
}

at::Tensor Transformer::operator()(const at::Tensor& latents, const Conditioning& conditioning,
                                   const ScheduleModulation& modulation, int64_t step,
                                   const AfterBlock& after_block) const {
  const auto branches = static_cast<int64_t>(conditioning.layout.txt_lengths.size());
  Streams x;
  // [S, in_channels] → [branches, S, D]; blocks update the streams in place, so each pass has its
  // own
  x.img = img_in_(latents).unsqueeze(0).repeat({branches, 1, 1});
  x.txt = conditioning.txt.clone();

  for (int64_t i = 0; i < config_.num_layers; ++i) {
    const BlockModulation& rows = modulation.blocks[i];
    transformer_blocks_[i](x, {rows.img.select(0, step), rows.txt.select(0, step)},
                           conditioning.layout,
                           /*last=*/i + 1 == config_.num_layers);
    if (after_block) after_block(i, x);
  }
  const at::Tensor row = modulation.norm_out.select(0, step);
  const at::Tensor scale = row.narrow(0, 0, config_.dim());
  const at::Tensor shift = row.narrow(0, config_.dim(), config_.dim());
  return proj_out_(ops::layer_norm_modulate(x.img, shift, scale, kEps));
}

}  // namespace qwen::models::qwen_image
