#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "layers/timestep_embedding.h"
#include "models/qwen_image/block.h"
#include "models/qwen_image/config.h"

namespace qwen::models::qwen_image {

// Everything that depends on the timestep alone, for all steps of a schedule at once: the
// modulation layers hold a third of the weights and are read once a request, not once a step.
struct ScheduleModulation {
  at::Tensor temb;                      // [N, D]
  std::vector<BlockModulation> blocks;  // [N, 6 * D] each
  at::Tensor norm_out;                  // [N, 2 * D]: scale, shift
};

// Everything that depends on the text and the picture's size, computed once a request.
struct Conditioning {
  at::Tensor txt;  // [1, sum of text lengths, D]
  JointLayout layout;
};

// Called after each block with the streams as they are: for cancel and for tests. May throw.
using AfterBlock = std::function<void(int64_t block, const Streams& streams)>;

// QwenImageTransformer2DModel: predicts the velocity of packed latents. model-spec chapter 6
class Transformer final {
 public:
  Transformer(const weights::Weights& w, const Config& config);

  const Config& config() const { return config_; }

  // timesteps [N] in 0..1, in the model's dtype
  ScheduleModulation modulate(const at::Tensor& timesteps) const;
  // One text [T, joint_attention_dim] a branch.
  Conditioning condition(const std::vector<at::Tensor>& texts,
                         const std::vector<TokenGrid>& grids) const;
  // latents [S, in_channels] shared by all branches → velocity [branches, S, patch_size^2 *
  // out_channels]
  at::Tensor operator()(const at::Tensor& latents, const Conditioning& conditioning,
                        const ScheduleModulation& modulation, int64_t step,
                        const AfterBlock& after_block = {}) const;

 private:
  const Config config_;
  const Rope rope_;
  layers::Linear img_in_;
  at::Tensor txt_norm_;  // [joint_attention_dim]
  layers::Linear txt_in_;
  layers::TimestepEmbedding time_text_embed_;
  std::vector<TransformerBlock> transformer_blocks_;
  layers::Linear norm_out_, proj_out_;
};

}  // namespace qwen::models::qwen_image
