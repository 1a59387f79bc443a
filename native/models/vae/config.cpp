#include "models/vae/config.h"

#include "weights/json.h"

namespace qwen::models::vae {

Config Config::read(const std::string& path) {
  const auto file = weights::ConfigReader::open(path);
  Config config{};
  config.base_dim = file.positive("base_dim");
  config.z_dim = file.positive("z_dim");
  config.dim_mult = file.integers("dim_mult");
  config.num_res_blocks = file.count("num_res_blocks");
  config.input_channels = file.positive("input_channels", 3);
  config.latents_mean = file.numbers("latents_mean");
  config.latents_std = file.numbers("latents_std");

  constexpr size_t kMaxLevels = 7;  // tiles are whole numbers of cells up to a ratio of 64
  if (config.dim_mult.size() < 2 || config.dim_mult.size() > kMaxLevels) {
    file.refuse("dim_mult", "hold 2 to " + std::to_string(kMaxLevels) + " factors");
  }
  for (const int64_t factor : config.dim_mult) {
    if (factor < 1 || factor > weights::kLargestDimension / config.base_dim) {
      file.refuse("dim_mult", "hold factors from 1 on that keep base_dim x factor below " +
                                  std::to_string(weights::kLargestDimension));
    }
  }
  // One spatial halving a level but the last; the flags only say which of them also halve time,
  // which a single picture never does.
  if (file.flags("temperal_downsample").size() != config.dim_mult.size() - 1) {
    file.refuse("temperal_downsample", "hold one flag less than dim_mult has factors");
  }
  if (config.input_channels != 3) file.refuse("input_channels", "be 3 (RGB)");
  if (file.has("attn_scales") && !file.numbers("attn_scales").empty()) {
    file.refuse("attn_scales", "be empty: attention inside the levels is not computed");
  }
  const auto z_dim = static_cast<size_t>(config.z_dim);
  if (config.latents_mean.size() != z_dim)
    file.refuse("latents_mean", "hold z_dim = " + std::to_string(z_dim) + " numbers");
  if (config.latents_std.size() != z_dim)
    file.refuse("latents_std", "hold z_dim = " + std::to_string(z_dim) + " numbers");
  for (const double deviation : config.latents_std) {
    if (!(deviation > 0)) file.refuse("latents_std", "hold positive numbers");
  }
  return config;
}

}  // namespace qwen::models::vae
