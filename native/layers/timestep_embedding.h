#pragma once

#include "layers/linear.h"

namespace qwen::layers {

// Sinusoid of 256 channels (cosines first), then Linear, SiLU, Linear. model-spec:
// time_text_embed.timestep_embedder.
class TimestepEmbedding final {
 public:
  TimestepEmbedding(const weights::Weights& w, int64_t dim);
  // timestep [N] in 0..1, already rounded to the model's dtype → [N, dim]
  at::Tensor operator()(const at::Tensor& timestep) const;

 private:
  Linear linear_1_, linear_2_;
};

}  // namespace qwen::layers
