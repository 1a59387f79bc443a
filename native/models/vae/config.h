#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qwen::models::vae {

// vae/config.json of AutoencoderKLQwenImage.
struct Config {
  int64_t base_dim;
  int64_t z_dim;  // latent channels
  std::vector<int64_t> dim_mult;
  int64_t num_res_blocks;
  int64_t input_channels;            // 3: RGB
  std::vector<double> latents_mean;  // [z_dim]
  std::vector<double> latents_std;   // [z_dim]

  // Pixels a latent cell covers on each side.
  int64_t spatial_ratio() const { return int64_t{1} << (dim_mult.size() - 1); }

  // Throws EngineError(InvalidModel) naming the file and the key.
  static Config read(const std::string& path);
};

}  // namespace qwen::models::vae
