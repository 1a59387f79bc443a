#include "models/qwen2_5_vl/config.h"

#include "models/qwen_image/config.h"
#include "models/vae/config.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"

namespace qwen::models {
namespace {

using errors::ErrorCode;
using tests::expect_error;

// A config of the golden checkpoints with one value replaced is refused, and the key is named.
template <typename Config>
void refuses(const std::string& part, const std::string& key, const std::string& value) {
  const tests::TemporaryFolder folder;
  std::ifstream in(golden::checkpoint_folder("released") + "/" + part + "/config.json");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::string name = "\"" + key + "\": ";
  const size_t begin = text.find(name);
  ASSERT_NE(begin, std::string::npos) << part << " has no " << key;
  const size_t from = begin + name.size();
  const size_t end = text[from] == '[' ? text.find(']', from) + 1 : text.find_first_of(",\n", from);
  const std::string path = folder.write("config.json", text.replace(from, end - from, value));
  expect_error(ErrorCode::InvalidModel, {"config.json", "'" + key + "'"},
               [&] { Config::read(path); });
}

TEST(Config, RefusesTransformersItDoesNotCompute) {
  const auto refuse = refuses<qwen_image::Config>;
  for (const char* value : {"0", "-1", "2.5", "\"4\"", "1048577", "9223372036854775807"}) {
    refuse("transformer", "num_layers", value);
    refuse("transformer", "attention_head_dim", value);
    refuse("transformer", "joint_attention_dim", value);
  }
  refuse("transformer", "num_layers", "1025");
  refuse("transformer", "num_attention_heads", "1048576");  // times the head size
  for (const char* axes : {"[]", "[4, 4]", "[2, 3, 3]", "[0, 4, 4]", "[1000, 2, 2]",
                           "[9223372036854775806, 9223372036854775806, 12]"}) {
    refuse("transformer", "axes_dims_rope", axes);
  }
  refuse("transformer", "patch_size", "1");
  refuse("transformer", "guidance_embeds", "true");
}

TEST(Config, RefusesTextEncodersItDoesNotCompute) {
  const auto refuse = refuses<qwen2_5_vl::TextConfig>;
  for (const char* value : {"0", "-1", "1048577"}) {
    refuse("text_encoder", "vocab_size", value);
    refuse("text_encoder", "intermediate_size", value);
  }
  refuse("text_encoder", "num_hidden_layers", "1025");
  refuse("text_encoder", "num_attention_heads", "5");
  refuse("text_encoder", "num_key_value_heads", "3");
  refuse("text_encoder", "rms_norm_eps", "null");
  refuse("text_encoder", "rope_type", "\"yarn\"");
  refuse("text_encoder", "use_sliding_window", "true");
}

TEST(Config, RefusesAutoencodersItDoesNotCompute) {
  const auto refuse = refuses<vae::Config>;
  for (const char* value : {"0", "-1", "1048577"}) {
    refuse("vae", "base_dim", value);
    refuse("vae", "z_dim", value);
    refuse("vae", "num_res_blocks", value);
  }
  refuse("vae", "num_res_blocks", "1025");
  for (const char* factors :
       {"[1]", "[1, 0, 4, 4]", "[1, 2, 4, 1048576]", "[1, 1, 1, 1, 1, 1, 1, 1]"}) {
    refuse("vae", "dim_mult", factors);
  }
  refuse("vae", "temperal_downsample", "[false]");
  refuse("vae", "latents_mean", "[1.0]");
  refuse("vae", "latents_std", "[1.0, 1.0, 0.0, 1.0]");
  refuse("vae", "input_channels", "4");
  refuse("vae", "attn_scales", "[1.0]");
}

}  // namespace
}  // namespace qwen::models
