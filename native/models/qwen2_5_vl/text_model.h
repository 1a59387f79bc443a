#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "layers/feed_forward.h"
#include "layers/linear.h"
#include "models/qwen2_5_vl/config.h"
#include "weights/weights.h"

namespace qwen::models::qwen2_5_vl {

// Checkpoints name the parts `model.layers…` / `visual…` (released files) or
// `model.language_model.layers…` / `model.visual…` (newer transformers). The engine uses the
// former.
std::string canonical_name(const std::string& stored);
// Parts that conditioning on text does not need: the vision tower and the output head.
bool is_unused(const std::string& name);

struct RotaryRows {
  at::Tensor cos, sin;  // [S, head_dim] in the model's dtype
};

class TextAttention final {
 public:
  TextAttention(const weights::Weights& w, const TextConfig& config);
  at::Tensor operator()(const at::Tensor& x,
                        const RotaryRows& rotary) const;  // [S, hidden] → [S, hidden]

 private:
  const int64_t heads_, kv_heads_, head_dim_;
  layers::Linear q_proj_, k_proj_, v_proj_, o_proj_;
};

class TextLayer final {
 public:
  TextLayer(const weights::Weights& w, const TextConfig& config);
  at::Tensor operator()(const at::Tensor& x,
                        const RotaryRows& rotary) const;  // [S, hidden] → [S, hidden]

 private:
  const double eps_;
  at::Tensor input_layernorm_, post_attention_layernorm_;  // [hidden]
  TextAttention self_attn_;
  layers::GatedFeedForward mlp_;
};

// The language model of Qwen2.5-VL up to its final norm, for text alone. model-spec chapter 3
class TextModel final {
 public:
  TextModel(const weights::Weights& w, const TextConfig& config);
  // Token ids (int64, each below vocab_size) → hidden states after the final norm [S, hidden].
  // Throws EngineError(InvalidArgument) for an id outside the vocabulary, and what `poll` throws,
  // which is called before each layer.
  at::Tensor operator()(const std::vector<int64_t>& ids, const weights::Poll& poll = {}) const;

  const TextConfig& config() const { return config_; }

 private:
  RotaryRows rotary(int64_t length) const;

  const TextConfig config_;
  const at::ScalarType dtype_;
  const at::Device device_;
  at::Tensor embed_tokens_;  // [vocab, hidden], as stored: only the prompt's rows are converted
  std::vector<TextLayer> layers_;
  at::Tensor norm_;  // [hidden]
};

}  // namespace qwen::models::qwen2_5_vl
