#include "models/vae/blocks.h"

#include <ATen/ATen.h>

#include "ops/ops.h"

namespace qwen::models::vae {

Conv::Conv(const weights::Weights& w, const Shape& shape)
    : stride_(shape.stride), padding_(shape.padding) {
  const int64_t k = shape.kernel;
  at::Tensor stored;
  if (shape.taps == 0) {
    stored = w.get_stored("weight", {shape.out, shape.in, k, k});
  } else {
    stored =
        w.get_stored("weight", {shape.out, shape.in, shape.taps, k, k}).select(2, shape.taps - 1);
  }
  weight_ = w.bring(stored, at::MemoryFormat::ChannelsLast);
  bias_ = w.get("bias", {shape.out});
}

at::Tensor Conv::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight_, bias_, /*stride=*/{stride_, stride_},
                    /*padding=*/{padding_, padding_});
}

ChannelNorm::ChannelNorm(const weights::Weights& w, int64_t channels, Then then)
    : silu_(then == Then::Silu) {
  // Attention blocks have no activation behind their norm and store one dimension less.
  std::vector<int64_t> shape(silu_ ? 4 : 3, 1);
  shape[0] = channels;
  gamma_ = w.get("gamma", shape).reshape({channels});
}

at::Tensor ChannelNorm::operator()(const at::Tensor& x) const {
  return ops::channel_norm(x, gamma_, silu_);
}

ResidualBlock::ResidualBlock(const weights::Weights& w, int64_t in, int64_t out)
    : norm1_(w / "norm1", in, ChannelNorm::Then::Silu),
      conv1_(w / "conv1", {.in = in, .out = out, .kernel = 3, .taps = 3, .padding = 1}),
      norm2_(w / "norm2", out, ChannelNorm::Then::Silu),
      conv2_(w / "conv2", {.in = out, .out = out, .kernel = 3, .taps = 3, .padding = 1}) {
  if (in != out)
    conv_shortcut_.emplace(w / "conv_shortcut", Conv::Shape{.in = in, .out = out, .kernel = 1});
}

at::Tensor ResidualBlock::operator()(const at::Tensor& x) const {
  at::Tensor y = conv2_(norm2_(conv1_(norm1_(x))));
  return y.add_(conv_shortcut_ ? (*conv_shortcut_)(x) : x);
}

AttentionBlock::AttentionBlock(const weights::Weights& w, int64_t channels)
    : norm_(w / "norm", channels, ChannelNorm::Then::Nothing),
      to_qkv_(w / "to_qkv", {.in = channels, .out = 3 * channels, .kernel = 1, .taps = 0}),
      proj_(w / "proj", {.in = channels, .out = channels, .kernel = 1, .taps = 0}) {}

at::Tensor AttentionBlock::operator()(const at::Tensor& x) const {
  const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  // [B, 3C, H, W] → [B, 1, H * W, 3C]
  const at::Tensor qkv =
      to_qkv_(norm_(x)).permute({0, 2, 3, 1}).reshape({batch, 1, height * width, 3 * channels});
  const at::Tensor out =
      ops::attention(qkv.narrow(3, 0, channels), qkv.narrow(3, channels, channels),
                     qkv.narrow(3, 2 * channels, channels));
  // [B, 1, H * W, C] → [B, C, H, W]
  return proj_(out.reshape({batch, height, width, channels}).permute({0, 3, 1, 2})).add_(x);
}

MidBlock::MidBlock(const weights::Weights& w, int64_t channels)
    : resnet_0_(w / "resnets.0", channels, channels),
      attention_(w / "attentions.0", channels),
      resnet_1_(w / "resnets.1", channels, channels) {}

at::Tensor MidBlock::operator()(const at::Tensor& x) const {
  return resnet_1_(attention_(resnet_0_(x)));
}

Downsample::Downsample(const weights::Weights& w, int64_t channels)
    : resample_1_(w / "resample.1",
                  {.in = channels, .out = channels, .kernel = 3, .taps = 0, .stride = 2}) {}

at::Tensor Downsample::operator()(const at::Tensor& x) const {
  return resample_1_(at::constant_pad_nd(x, {0, 1, 0, 1}));
}

Upsample::Upsample(const weights::Weights& w, int64_t channels)
    : resample_1_(w / "resample.1",
                  {.in = channels, .out = channels / 2, .kernel = 3, .taps = 0, .padding = 1}) {}

at::Tensor Upsample::operator()(const at::Tensor& x) const {
  return resample_1_(at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}));
}

}  // namespace qwen::models::vae
