#include "models/qwen2_5_vl/config.h"

#include "models/qwen_image/config.h"
#include "models/vae/config.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"
#include "weights/json.h"

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

TEST(Config, ErrorsTellWhatIsAllowedAndWhatCame) {
  const tests::TemporaryFolder folder;
  const auto tells = [&](const std::string& json, const std::string& message, const auto& read) {
    const std::string path = folder.write("c.json", "{\"k\": " + json + "}");
    expect_error(ErrorCode::InvalidModel, {path + ": key 'k' " + message},
                 [&] { read(weights::ConfigReader::open(path)); });
  };
  const auto positive = [](const auto& file) { file.positive("k"); };
  const std::string range = "must be an integer from 1 to 1048576, is ";
  tells("-3", range + "-3", positive);
  tells("2.5", range + "2.5", positive);
  tells("1e-9", range + "1e-09", positive);
  tells("{}", range + "an object", positive);
  tells("\"" + std::string(5000, 'x') + "\"", range + "'" + std::string(100, 'x') + "…'", positive);
  tells("\"" + std::string(200, '\x80') + "\"", range + "'…'", positive);  // no UTF-8
  tells("2000", "must be at most 1024, is 2000", [](const auto& file) { file.count("k"); });
  tells("1", "must be true or false, is 1", [](const auto& file) { file.flag("k", false); });
  tells("true", "must be a string, is true", [](const auto& file) { file.text("k", ""); });
  const auto integers = [](const auto& file) { file.integers("k"); };
  tells(R"([1, 2.5, "a", [3], null])", "must be a list of integers, is [1, 2.5, 'a', a list, null]",
        integers);
  tells("[1, 2, 3, 4, 5, 6, 7, 8.5, 9]",
        "must be a list of integers, is [1, 2, 3, 4, 5, 6, 7, 8.5, …] of 9", integers);
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

// transformers 5.24: `rope_scaling`, where it is not empty, in place of `rope_parameters`; the base
// in it before the one beside it.
TEST(Config, TakesTheRotaryBaseThatTransformersTakes) {
  const tests::TemporaryFolder folder;
  const auto base = [&](const std::string& rotary) {
    const std::string sizes =
        R"("hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":8,)"
        R"("vocab_size":8,"rms_norm_eps":1e-6)";
    const std::string flat = "{" + sizes + "," + rotary + "}";
    const double theta = qwen2_5_vl::TextConfig::read(folder.write("flat.json", flat)).rope_theta;
    const std::string nested = folder.write("nested.json", R"({"text_config":)" + flat + "}");
    EXPECT_EQ(qwen2_5_vl::TextConfig::read(nested).rope_theta, theta);
    return theta;
  };
  EXPECT_EQ(base(R"("rope_theta":7)"), 7);
  EXPECT_EQ(base(R"("rope_theta":7,"rope_scaling":{"type":"mrope"})"), 7);
  EXPECT_EQ(base(R"("rope_theta":7,"rope_parameters":{"rope_type":"default"})"), 7);
  EXPECT_EQ(base(R"("rope_parameters":{"rope_theta":5})"), 5);
  EXPECT_EQ(base(R"("rope_theta":7,"rope_parameters":{"rope_theta":5})"), 5);
  EXPECT_EQ(base(R"("rope_theta":7,"rope_scaling":{"type":"mrope","rope_theta":5})"), 5);
  EXPECT_EQ(base(R"("rope_theta":7,"rope_scaling":null,"rope_parameters":{"rope_theta":5})"), 5);
  EXPECT_EQ(base(R"("rope_theta":7,"rope_scaling":{},"rope_parameters":{"rope_theta":5})"), 5);
  EXPECT_EQ(
      base(R"("rope_theta":7,"rope_scaling":{"type":"mrope"},"rope_parameters":{"rope_theta":5})"),
      7);
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
