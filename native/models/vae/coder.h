#pragma once

#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include "models/vae/blocks.h"
#include "models/vae/config.h"

namespace qwen::models::vae {

// Called between the parts of a pass, for cancel. May throw.
using Poll = std::function<void()>;

class Encoder final {
 public:
  Encoder(const weights::Weights& w, const Config& config);
  at::Tensor operator()(const at::Tensor& x,
                        const Poll& poll) const;  // [B, 3, H, W] → [B, 2 * z, H / r, W / r]

 private:
  Conv conv_in_;
  std::vector<std::variant<ResidualBlock, Downsample>>
      down_blocks_;  // one flat list, as in the checkpoint
  MidBlock mid_block_;
  ChannelNorm norm_out_;
  Conv conv_out_;
};

class UpBlock final {
 public:
  UpBlock(const weights::Weights& w, int64_t in, int64_t out, int64_t resnets, bool upsample);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  std::vector<ResidualBlock> resnets_;
  std::optional<Upsample> upsampler_;
};

class Decoder final {
 public:
  Decoder(const weights::Weights& w, const Config& config);
  at::Tensor operator()(const at::Tensor& z,
                        const Poll& poll) const;  // [B, z, h, w] → [B, 3, h * r, w * r]

 private:
  Conv conv_in_;
  MidBlock mid_block_;
  std::vector<UpBlock> up_blocks_;
  ChannelNorm norm_out_;
  Conv conv_out_;
};

}  // namespace qwen::models::vae
