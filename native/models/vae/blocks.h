#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "weights/weights.h"

// The VAE's building blocks on single pictures. Activations are [B, C, H, W] in channels-last
// memory. model-spec 7.2
namespace qwen::models::vae {

// A convolution over one frame. The checkpoint's causal 3-D kernels see two zero frames before the
// first one, so of their temporal taps only the last one counts; it is cut out at load.
class Conv final {
 public:
  struct Shape {
    int64_t in, out, kernel;
    int64_t taps = 1;  // temporal taps of a 5-D kernel; 0: a 4-D kernel
    int64_t stride = 1;
    int64_t padding = 0;
  };
  Conv(const weights::Weights& w, const Shape& shape);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  const int64_t stride_, padding_;
  at::Tensor weight_, bias_;
};

// x / max(||x||, 1e-12) * sqrt(C) * gamma over channels, optionally with SiLU behind it.
class ChannelNorm final {
 public:
  enum class Then { Nothing, Silu };
  // gamma is stored as [C, 1, 1] in attention blocks, [C, 1, 1, 1] elsewhere.
  ChannelNorm(const weights::Weights& w, int64_t channels, Then then);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  const bool silu_;
  at::Tensor gamma_;  // [C]
};

class ResidualBlock final {
 public:
  ResidualBlock(const weights::Weights& w, int64_t in, int64_t out);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  ChannelNorm norm1_;
  Conv conv1_;
  ChannelNorm norm2_;
  Conv conv2_;
  std::optional<Conv> conv_shortcut_;  // only where the width changes
};

// One head over all positions.
class AttentionBlock final {
 public:
  AttentionBlock(const weights::Weights& w, int64_t channels);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  ChannelNorm norm_;
  Conv to_qkv_, proj_;
};

class MidBlock final {
 public:
  MidBlock(const weights::Weights& w, int64_t channels);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  ResidualBlock resnet_0_;
  AttentionBlock attention_;
  ResidualBlock resnet_1_;
};

// Zero row below and column to the right, then a 3x3 convolution of stride 2.
class Downsample final {
 public:
  Downsample(const weights::Weights& w, int64_t channels);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  Conv resample_1_;
};

// Every pixel doubled in both directions, then a 3x3 convolution to half the channels.
class Upsample final {
 public:
  Upsample(const weights::Weights& w, int64_t channels);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  Conv resample_1_;
};

}  // namespace qwen::models::vae
