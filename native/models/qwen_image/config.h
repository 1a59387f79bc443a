#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace qwen::models::qwen_image {

// transformer/config.json of QwenImageTransformer2DModel.
struct Config {
  int64_t patch_size;
  int64_t in_channels;   // features of a packed latent token
  int64_t out_channels;  // latent channels
  int64_t num_layers;
  int64_t attention_head_dim;
  int64_t num_attention_heads;
  int64_t joint_attention_dim;            // width of the text embeddings
  std::array<int64_t, 3> axes_dims_rope;  // frame, row, column; they add up to the head size

  int64_t dim() const { return num_attention_heads * attention_head_dim; }

  // Throws EngineError(InvalidModel) naming the file and the key.
  static Config read(const std::string& path);
};

}  // namespace qwen::models::qwen_image
