#include "models/vae/coder.h"

namespace qwen::models::vae {
namespace {

std::vector<std::variant<ResidualBlock, Downsample>> build_down_blocks(const weights::Weights& w,
                                                                       const Config& config) {
  std::vector<std::variant<ResidualBlock, Downsample>> blocks;
  int64_t in = config.base_dim;
  for (size_t level = 0; level < config.dim_mult.size(); ++level) {
    const int64_t out = config.base_dim * config.dim_mult[level];
    for (int64_t i = 0; i < config.num_res_blocks; ++i, in = out) {
      blocks.emplace_back(ResidualBlock(w / static_cast<int64_t>(blocks.size()), in, out));
    }
    if (level + 1 < config.dim_mult.size()) {
      blocks.emplace_back(Downsample(w / static_cast<int64_t>(blocks.size()), out));
    }
  }
  return blocks;
}

std::vector<UpBlock> build_up_blocks(const weights::Weights& w, const Config& config) {
  std::vector<UpBlock> blocks;
  const auto levels = static_cast<int64_t>(config.dim_mult.size());
  int64_t in = config.base_dim * config.dim_mult.back();
  for (int64_t i = 0; i < levels; ++i) {
    const int64_t out = config.base_dim * config.dim_mult[levels - 1 - i];
    const bool upsample = i + 1 < levels;
    blocks.emplace_back(w / i, in, out, config.num_res_blocks + 1, upsample);
    in = out / 2;  // an upsampler halves the channels
  }
  return blocks;
}

}  // namespace

Encoder::Encoder(const weights::Weights& w, const Config& config)
    : conv_in_(w / "conv_in", {.in = config.input_channels,
                               .out = config.base_dim,
                               .kernel = 3,
                               .taps = 3,
                               .padding = 1}),
      down_blocks_(build_down_blocks(w / "down_blocks", config)),
      mid_block_(w / "mid_block", config.base_dim * config.dim_mult.back()),
      norm_out_(w / "norm_out", config.base_dim * config.dim_mult.back(), ChannelNorm::Then::Silu),
      conv_out_(w / "conv_out", {.in = config.base_dim * config.dim_mult.back(),
                                 .out = 2 * config.z_dim,
                                 .kernel = 3,
                                 .taps = 3,
                                 .padding = 1}) {}

at::Tensor Encoder::operator()(const at::Tensor& x, const Poll& poll) const {
  at::Tensor y = conv_in_(x);
  for (const auto& block : down_blocks_) {
    poll();
    y = std::visit([&](const auto& layer) { return layer(y); }, block);
  }
  return conv_out_(norm_out_(mid_block_(y)));
}

UpBlock::UpBlock(const weights::Weights& w, int64_t in, int64_t out, int64_t resnets,
                 bool upsample) {
  resnets_.reserve(resnets);
  for (int64_t i = 0; i < resnets; ++i)
    resnets_.emplace_back(w / "resnets" / i, i == 0 ? in : out, out);
  if (upsample) upsampler_.emplace(w / "upsamplers.0", out);
}

at::Tensor UpBlock::operator()(const at::Tensor& x) const {
  at::Tensor y = x;
  for (const ResidualBlock& resnet : resnets_) y = resnet(y);
  return upsampler_ ? (*upsampler_)(y) : y;
}

Decoder::Decoder(const weights::Weights& w, const Config& config)
    : conv_in_(w / "conv_in", {.in = config.z_dim,
                               .out = config.base_dim * config.dim_mult.back(),
                               .kernel = 3,
                               .taps = 3,
                               .padding = 1}),
      mid_block_(w / "mid_block", config.base_dim * config.dim_mult.back()),
      up_blocks_(build_up_blocks(w / "up_blocks", config)),
      norm_out_(w / "norm_out", config.base_dim * config.dim_mult.front(), ChannelNorm::Then::Silu),
      conv_out_(w / "conv_out", {.in = config.base_dim * config.dim_mult.front(),
                                 .out = config.input_channels,
                                 .kernel = 3,
                                 .taps = 3,
                                 .padding = 1}) {}

at::Tensor Decoder::operator()(const at::Tensor& z, const Poll& poll) const {
  at::Tensor y = mid_block_(conv_in_(z));
  for (const UpBlock& block : up_blocks_) {
    poll();
    y = block(y);
  }
  return conv_out_(norm_out_(y));
}

}  // namespace qwen::models::vae
