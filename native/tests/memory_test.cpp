#include "pipeline/memory.h"

#include <ATen/ATen.h>

#include "engine/engine.h"
#include "tests/golden.h"

namespace qwen::pipeline {
namespace {

const models::qwen2_5_vl::TextConfig kText{128, 2, 4, 2, 384, 1344, 1e-6, 1e6};
const models::qwen_image::Config kTransformer{2, 32, 8, 5, 64, 3, 128, {16, 24, 24}};
const models::vae::Config kVae{
    16, 8, {1, 2, 4, 4}, 1, 3, std::vector<double>(8, 0.0), std::vector<double>(8, 1.0)};
constexpr double kSlack = 1.15;

TEST(MemoryModel, CountsWhatIsAliveTogether) {
  const MemoryModel memory = describe_activations(kText, kTransformer, kVae, {});
  // Decoder at full size: the block's input and five tensors of 16 channels around its second
  // convolution. Encoder: the picture and five of 16.
  EXPECT_NEAR(memory.vae_decoder.per_work_pixel, kSlack * 4 * (16 + 5 * 16), 1e-6);
  EXPECT_NEAR(memory.vae_encoder.per_work_pixel, kSlack * 4 * (3 + 5 * 16), 1e-6);
  // 12 streams of 192 channels a token of 16 x 16 pixels.
  EXPECT_NEAR(memory.transformer.per_branch_pixel, kSlack * 4 * 12 * 192 / 256, 1e-6);
  EXPECT_EQ(memory.transformer.steps_at_once, 64);
  EXPECT_NEAR(memory.text_encoder.per_token, kSlack * 4 * (4 * 128 + 3 * 384), 1e-6);
}

TEST(MemoryModel, HalvesWithTheElementsUnlessConvolutionsUnfold) {
  const MemoryModel full = describe_activations(kText, kTransformer, kVae, {});
  const MemoryModel half = describe_activations(kText, kTransformer, kVae, {.element_size = 2});
  const MemoryModel unfolded =
      describe_activations(kText, kTransformer, kVae, {.element_size = 2, .unfolds = true});
  EXPECT_NEAR(half.vae_decoder.per_work_pixel, full.vae_decoder.per_work_pixel / 2, 1e-6);
  EXPECT_NEAR(half.text_encoder.per_token, full.text_encoder.per_token / 2, 1e-6);
  EXPECT_GT(unfolded.vae_decoder.per_work_pixel, 2 * half.vae_decoder.per_work_pixel);
}

TEST(MemoryModel, OfALoadedFolderKnowsBudgetWeightsAndTiling) {
  engine::Engine engine;
  const std::string folder = golden::checkpoint_folder("released");
  const auto load = [&](const engine::LoadOptions& options) {
    return engine.load(folder, options).memory;
  };
  const MemoryModel resident = load({.device = "cpu", .dtype = "float32"});
  const MemoryModel turns =
      load({.device = "cpu", .dtype = "float32", .sequential = true, .vae_tiling = "never"});
  EXPECT_EQ(resident.transformer.weights, 0);
  EXPECT_EQ(resident.resident - turns.resident,
            turns.text_encoder.weights + turns.transformer.weights + turns.vae_decoder.weights);
  EXPECT_EQ(turns.vae_encoder.weights, turns.vae_decoder.weights);
  EXPECT_EQ(resident.tiling.above_pixels, 2'097'152);
  EXPECT_EQ(turns.tiling.above_pixels, std::nullopt);
  EXPECT_EQ(load({.device = "cpu", .vae_tiling = "always"}).tiling.above_pixels, 0);
  EXPECT_EQ(resident.budget, engine.stats().memory_total);
  EXPECT_EQ(load({.device = "cpu", .memory_budget = 5'000'000'000}).budget, 5'000'000'000);
}

}  // namespace
}  // namespace qwen::pipeline
