#include "weights/weights.h"

#include <ATen/ATen.h>

#include "engine/device.h"
#include "models/qwen2_5_vl/text_model.h"
#include "pipeline/load.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"
#include "weights/json.h"

namespace qwen::weights {
namespace {

using errors::ErrorCode;
using tests::expect_error;
using tests::safetensors;
using tests::TemporaryFolder;

std::string one_tensor(const std::string& name) {
  return safetensors("{\"" + name + "\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}",
                     std::string("\x80\x3f\x00\x40", 4));  // 1, 2
}

TEST(Weights, ReadsShardsThroughTheirIndex) {
  const TemporaryFolder folder;
  folder.write("model-1.safetensors", one_tensor("a.weight"));
  folder.write("model-2.safetensors", one_tensor("b.weight"));
  folder.write(
      "model.safetensors.index.json",
      R"({"weight_map":{"a.weight":"model-1.safetensors","b.weight":"model-2.safetensors"}})");
  const Weights w(Checkpoint::open(folder.path(), "model"), at::kFloat, at::kCPU);
  EXPECT_TRUE((w / "a").get("weight", {2}).equal(at::tensor({1.0f, 2.0f})));
  EXPECT_EQ((w / "b").get("weight", {2}).scalar_type(), at::kFloat);
  w.finish();
}

TEST(Weights, TakesWhatTheLibraryOfTheComponentTakesWhereThereAreBoth) {
  for (const std::string base : {"model", "diffusion_pytorch_model"}) {
    const TemporaryFolder folder;
    folder.write(base + ".safetensors", one_tensor("one"));
    folder.write("shard.safetensors", one_tensor("many"));
    folder.write(base + ".safetensors.index.json",
                 R"({"weight_map":{"many":"shard.safetensors"}})");
    const auto checkpoint = Checkpoint::open(folder.path(), base);
    EXPECT_TRUE(checkpoint.tensors().contains(base == "model" ? "one" : "many"));
  }
}

TEST(Weights, NamesAllFaultsTogether) {
  const TemporaryFolder folder;
  folder.write(
      "model.safetensors",
      safetensors("{\"x.weight\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                  "\"y.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]},"
                  "\"z.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[6,10]}}",
                  std::string(10, '\0')));
  const Weights w(Checkpoint::open(folder.path(), "model"), at::kFloat, at::kCPU);
  EXPECT_EQ((w / "gone").get("weight", {3, 4}).sizes(), at::IntArrayRef({3, 4}));
  w.get("x.weight", {2});
  w.get("y.weight", {7});
  expect_error(ErrorCode::InvalidModel,
               {"missing: gone.weight", "wrong dtype: x.weight is Byte, expected floating point",
                "wrong shape: y.weight is [1], expected [7]", "left over: z.weight"},
               [&] { w.finish(); });
}

TEST(Weights, TellsTheFirstOfManyFaultsAndNoEndlessName) {
  const Weights w(Checkpoint::of({}), at::kFloat, at::kCPU);
  for (int i = 100; i < 150; ++i) w.get(std::to_string(i), {1});
  expect_error(ErrorCode::InvalidModel, {"missing: 100", "missing: 119; and 30 more"},
               [&] { w.finish(); });
  // Two bytes a letter, one byte before them: the cut would be in the middle of one.
  std::string name = "-";
  for (int i = 0; i < 5000; ++i) name += "ä";
  const Weights long_named(Checkpoint::of({{name, at::zeros({1})}}), at::kFloat, at::kCPU);
  try {
    long_named.finish();
    FAIL() << "nothing was thrown";
  } catch (const errors::EngineError& error) {
    const std::string message = error.what();
    EXPECT_LT(message.size(), 4100);
    EXPECT_NE(message.find("ä… ("), std::string::npos) << message;
    EXPECT_TRUE(message.ends_with(" bytes more)")) << message;
  }
}

TEST(Weights, CopiesNoMisalignedTensorThatNobodyTakes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("model.safetensors", "");
  const size_t bytes = size_t{256} << 20;
  const std::string header = R"({"x":{"dtype":"F32","shape":[)" + std::to_string(bytes / 4) +
                             R"(],"data_offsets":[0,)" + std::to_string(bytes) + "]}}";
  for (const std::string padding : {"", " ", "  ", "   "}) {
    folder.write("model.safetensors", safetensors(header + padding, ""));
    std::filesystem::resize_file(path, 8 + header.size() + padding.size() + bytes);  // zeros
    const int64_t before = engine::device_stats(std::nullopt).memory_used;
    const auto checkpoint = Checkpoint::open(folder.path(), "model");
    EXPECT_EQ(checkpoint.tensors().at("x").numel(), bytes / 4);
    EXPECT_LT(engine::device_stats(std::nullopt).memory_used - before, bytes / 4);
  }
}

TEST(Weights, ModelsStopBeingBuiltWhenThePollThrows) {
  int polled = 0;
  const Weights w(Checkpoint::of({{"a", at::ones({1})}}), at::kFloat, at::kCPU, [&] {
    if (++polled == 2) throw errors::EngineError(ErrorCode::Cancelled, "enough");
  });
  EXPECT_EQ(w.get("a", {1}).item<float>(), 1);
  expect_error(ErrorCode::Cancelled, {"enough"}, [&] { w.get("a", {1}); });
}

// A config may claim any size: what is not there is told, not allocated.
TEST(Weights, MissingTensorsTakeNoMemory) {
  const Weights w(Checkpoint::of({}), at::kBFloat16, at::kCPU);
  const int64_t side = kLargestDimension;
  EXPECT_EQ(w.get("weight", {side, side}).storage().nbytes(), sizeof(float));
  const at::Tensor kernel = w.get_stored("kernel", {side, side, 3, 3, 3}).select(2, 2);
  EXPECT_EQ(w.bring(kernel, at::MemoryFormat::ChannelsLast).storage().nbytes(), sizeof(float));
  expect_error(ErrorCode::InvalidModel, {"missing: weight", "missing: kernel"},
               [&] { w.finish(); });
}

TEST(Weights, RefusesBrokenFolders) {
  const TemporaryFolder folder;
  expect_error(ErrorCode::InvalidModel, {"model.safetensors", "no such file"},
               [&] { Checkpoint::open(folder.path(), "model"); });
  const auto index = [&](const std::string& json) {
    folder.write("model.safetensors.index.json", json);
  };
  index("{}");
  expect_error(ErrorCode::InvalidModel, {"weight_map"},
               [&] { Checkpoint::open(folder.path(), "model"); });
  index(R"({"weight_map":{"a":"../elsewhere.safetensors"}})");
  expect_error(ErrorCode::InvalidModel, {"file of the same folder"},
               [&] { Checkpoint::open(folder.path(), "model"); });
  index(R"({"weight_map":{"a":"shard.safetensors"}})");
  expect_error(ErrorCode::InvalidModel, {"shard.safetensors", "cannot be opened"},
               [&] { Checkpoint::open(folder.path(), "model"); });
  folder.write("shard.safetensors", one_tensor("b"));
  expect_error(ErrorCode::InvalidModel, {"shard.safetensors", "has no tensor 'a'"},
               [&] { Checkpoint::open(folder.path(), "model"); });
}

TEST(Weights, KnowsBothNamingsOfTheTextEncoder) {
  using models::qwen2_5_vl::canonical_name;
  EXPECT_EQ(canonical_name("model.language_model.layers.0.mlp.up_proj.weight"),
            "model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("model.visual.merger.ln_q.weight"), "visual.merger.ln_q.weight");
  EXPECT_EQ(canonical_name("model.layers.0.mlp.up_proj.weight"),
            "model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("lm_head.weight"), "lm_head.weight");
}

// A broken part of a whole model folder is told with the file and the key or name.
TEST(Weights, ModelFolderFaultsNameTheFile) {
  const TemporaryFolder folder;
  const std::string model =
      folder.copy(golden::checkpoint_folder(golden::checkpoint_names().front()), "model");
  const auto spoil = [&](const std::string& file, const std::string& from, const std::string& to) {
    std::ifstream in(model + "/" + file);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << file << " has no " << from;
    std::ofstream(model + "/" + file) << text.replace(at, from.size(), to);
  };
  spoil("transformer/config.json", "\"num_layers\"", "\"num_layerz\"");
  expect_error(ErrorCode::InvalidModel, {"transformer/config.json", "'num_layers' is missing"},
               [&] { pipeline::load_transformer(model, at::kFloat, at::kCPU); });
  spoil("vae/config.json", "\"dim_mult\"", "\"dim_nult\"");
  expect_error(ErrorCode::InvalidModel, {"vae/config.json", "'dim_mult' is missing"},
               [&] { pipeline::load_vae(model, at::kFloat, at::kCPU); });
  std::filesystem::remove(model + "/text_encoder/config.json");
  expect_error(ErrorCode::InvalidModel, {"text_encoder/config.json", "cannot be read"},
               [&] { pipeline::load_text_encoder(model, at::kFloat, at::kCPU); });
}

}  // namespace
}  // namespace qwen::weights
