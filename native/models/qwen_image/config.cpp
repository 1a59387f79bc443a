#include "models/qwen_image/config.h"

#include "weights/json.h"

namespace qwen::models::qwen_image {

Config Config::read(const std::string& path) {
  const auto file = weights::ConfigReader::open(path);
  Config config{};
  config.patch_size = file.positive("patch_size");
  config.in_channels = file.positive("in_channels");
  config.out_channels = file.positive("out_channels", config.in_channels);
  config.num_layers = file.count("num_layers");
  config.attention_head_dim = file.positive("attention_head_dim");
  config.num_attention_heads = file.positive("num_attention_heads");
  if (config.dim() > weights::kLargestDimension) {
    file.refuse("num_attention_heads", "keep the product with attention_head_dim up to " +
                                           std::to_string(weights::kLargestDimension));
  }
  config.joint_attention_dim = file.positive("joint_attention_dim");

  const auto axes = file.integers("axes_dims_rope");
  int64_t sum = 0;
  for (const int64_t axis : axes) {
    if (axis < 2 || axis % 2 != 0 || axis > config.attention_head_dim) {
      file.refuse("axes_dims_rope", "hold even numbers from 2 to attention_head_dim");
    }
    sum += axis;
  }
  if (axes.size() != 3 || sum != config.attention_head_dim) {
    file.refuse("axes_dims_rope", "be three numbers that add up to attention_head_dim");
  }
  std::copy(axes.begin(), axes.end(), config.axes_dims_rope.begin());

  if (config.patch_size != 2) file.refuse("patch_size", "be 2: latents are packed two by two");
  if (config.in_channels != 4 * config.out_channels) {
    file.refuse("in_channels", "be 4 x out_channels: latents are packed two by two");
  }
  // Switches of other members of the family: without their arithmetic the pictures would be wrong.
  for (const char* key :
       {"guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope"}) {
    file.require_false(key);
  }
  return config;
}

}  // namespace qwen::models::qwen_image
