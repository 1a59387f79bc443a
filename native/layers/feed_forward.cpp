#include "layers/feed_forward.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>

namespace qwen::layers {

FeedForward::FeedForward(const weights::Weights& w, int64_t dim, int64_t hidden)
    : net_0_proj_(w / "net.0.proj", dim, hidden), net_2_(w / "net.2", hidden, dim) {}

at::Tensor FeedForward::operator()(const at::Tensor& x) const {
  at::Tensor hidden = net_0_proj_(x);
  at::gelu_(hidden, "tanh");
  return net_2_(hidden);
}

GatedFeedForward::GatedFeedForward(const weights::Weights& w, int64_t dim, int64_t hidden)
    : gate_proj_(w / "gate_proj", dim, hidden, Linear::Bias::No),
      up_proj_(w / "up_proj", dim, hidden, Linear::Bias::No),
      down_proj_(w / "down_proj", hidden, dim, Linear::Bias::No) {}

at::Tensor GatedFeedForward::operator()(const at::Tensor& x) const {
  at::Tensor gate = gate_proj_(x);
  at::silu_(gate);
  return down_proj_(gate.mul_(up_proj_(x)));
}

}  // namespace qwen::layers
