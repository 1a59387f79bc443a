#include "models/qwen2_5_vl/config.h"

#include "weights/json.h"

namespace qwen::models::qwen2_5_vl {

TextConfig TextConfig::read(const std::string& path) {
  const auto file = weights::ConfigReader::open(path).nested_or_self("text_config");
  TextConfig config{};
  config.hidden_size = file.positive("hidden_size");
  config.num_hidden_layers = file.count("num_hidden_layers");
  config.num_attention_heads = file.positive("num_attention_heads");
  config.num_key_value_heads = file.positive("num_key_value_heads", config.num_attention_heads);
  config.intermediate_size = file.positive("intermediate_size");
  config.vocab_size = file.positive("vocab_size");
  config.rms_norm_eps = file.number("rms_norm_eps");
  // As transformers reads it: the older name first; the base in there before the one beside it.
  auto rotary = file.nested("rope_scaling");
  if (!rotary) rotary = file.nested("rope_parameters");
  config.rope_theta = (rotary && rotary->has("rope_theta") ? *rotary : file).number("rope_theta");

  if (config.hidden_size % config.num_attention_heads != 0 || config.head_dim() % 2 != 0) {
    file.refuse("num_attention_heads", "divide hidden_size into heads of even size");
  }
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    file.refuse("num_key_value_heads", "divide num_attention_heads");
  }
  if (file.text("hidden_act", "silu") != "silu") file.refuse("hidden_act", "be 'silu'");
  file.require_false("use_sliding_window");
  // `mrope` is the older name: the sections say which axis a channel follows, and text has equal
  // positions on all of them.
  if (rotary) {
    const char* const key = rotary->has("rope_type") ? "rope_type" : "type";
    const std::string type = rotary->text(key, "default");
    if (type != "default" && type != "mrope") rotary->refuse(key, "be 'default'");
  }
  return config;
}

}  // namespace qwen::models::qwen2_5_vl
