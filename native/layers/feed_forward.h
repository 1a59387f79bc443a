#pragma once

#include "layers/linear.h"

namespace qwen::layers {

// Linear, GELU (tanh form), Linear: diffusers' FeedForward("gelu-approximate").
class FeedForward final {
 public:
  FeedForward(const weights::Weights& w, int64_t dim, int64_t hidden);
  at::Tensor operator()(const at::Tensor& x) const;  // [B, S, dim] → [B, S, dim]

 private:
  Linear net_0_proj_, net_2_;
};

// down(silu(gate(x)) * up(x)), no biases: the text encoder's.
class GatedFeedForward final {
 public:
  GatedFeedForward(const weights::Weights& w, int64_t dim, int64_t hidden);
  at::Tensor operator()(const at::Tensor& x) const;  // [S, dim] → [S, dim]

 private:
  Linear gate_proj_, up_proj_, down_proj_;
};

}  // namespace qwen::layers
