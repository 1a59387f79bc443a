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
  // Newer files keep the base with the other rotary parameters.
  config.rope_theta = file.has("rope_theta")
                          ? file.number("rope_theta")
                          : file.nested_or_self("rope_parameters").number("rope_theta");

  if (config.hidden_size % config.num_attention_heads != 0 || config.head_dim() % 2 != 0) {
    file.fail("num_attention_heads", "must divide hidden_size into heads of even size");
  }
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    file.fail("num_key_value_heads", "must divide num_attention_heads");
  }
  if (file.text("hidden_act", "silu") != "silu") file.fail("hidden_act", "must be 'silu'");
  file.require_false("use_sliding_window");
  // `mrope` is the older name: the sections say which axis a channel follows, and text has equal
  // positions on all of them.
  for (const char* group : {"rope_scaling", "rope_parameters"}) {
    for (const char* key : {"rope_type", "type"}) {
      const auto rotary = file.nested_or_self(group);
      const std::string type = rotary.text(key, "default");
      if (type != "default" && type != "mrope")
        rotary.fail(key, "must be 'default', is '" + type + "'");
    }
  }
  return config;
}

}  // namespace qwen::models::qwen2_5_vl
