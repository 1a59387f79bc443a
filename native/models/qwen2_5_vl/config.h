#pragma once

#include <cstdint>
#include <string>

namespace qwen::models::qwen2_5_vl {

// Language-model part of text_encoder/config.json, flat (old layout) or under `text_config`.
struct TextConfig {
  int64_t hidden_size;
  int64_t num_hidden_layers;
  int64_t num_attention_heads;
  int64_t num_key_value_heads;
  int64_t intermediate_size;
  int64_t vocab_size;
  double rms_norm_eps;
  double rope_theta;

  int64_t head_dim() const { return hidden_size / num_attention_heads; }

  // Throws EngineError(InvalidModel) naming the file and the key.
  static TextConfig read(const std::string& path);
};

}  // namespace qwen::models::qwen2_5_vl
