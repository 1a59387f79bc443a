#include "pipeline/pipeline.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <limits>

#include "pipeline/guidance.h"
#include "pipeline/latents.h"
#include "pipeline/load.h"
#include "pipeline/modulation_window.h"
#include "pipeline/watch.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"

namespace qwen::pipeline {
namespace {

using errors::ErrorCode;
using tests::expect_error;

class PipelineTest : public testing::Test {
 protected:
  GenerateRequest request() const {
    GenerateRequest r;
    r.prompt_ids = recording_.ids("t2i.prompt_ids");
    r.negative_prompt_ids = recording_.ids("t2i.negative_ids");
    r.drop_index = 34;
    r.width = 64;
    r.height = 48;
    r.num_inference_steps = 3;
    r.true_cfg_scale = 4;
    r.seed = 5;
    return r;
  }
  Pipeline make(bool resident = true, VaeTiling tiling = VaeTiling::Auto) const {
    return Pipeline(folder_, {.resident = resident, .vae_tiling = tiling});
  }

  const std::string folder_ = golden::checkpoint_folder("released");
  const golden::Recording recording_{"released"};
  const c10::InferenceMode inference_;
  const CancelToken never_;
};

TEST_F(PipelineTest, SequentialResidencyGivesTheSamePicture) {
  GenerateRequest r = request();
  r.num_images = 2;
  r.image = RawImage{40, 40, 3, std::vector<uint8_t>(40 * 40 * 3, 90)};
  r.strength = 0.7;
  Pipeline resident = make(true), sequential = make(false);
  const auto a = resident.generate(r, {}, never_), b = sequential.generate(r, {}, never_);
  ASSERT_EQ(a.images.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(a.images[i].data, b.images[i].data);
}

TEST_F(PipelineTest, ImageKIsTheSingleWithSeedPlusK) {
  Pipeline pipeline = make();
  GenerateRequest r = request();
  r.num_images = 3;
  const auto many = pipeline.generate(r, {}, never_);
  r.num_images = 1;
  for (uint64_t k = 0; k < 3; ++k) {
    r.seed = 5 + k;
    EXPECT_EQ(pipeline.generate(r, {}, never_).images.at(0).data, many.images.at(k).data) << k;
  }
  EXPECT_NE(many.images[0].data, many.images[1].data);
}

TEST_F(PipelineTest, ScaleOneLeavesTheNegativePromptOut) {
  Pipeline pipeline = make();
  GenerateRequest r = request();
  r.true_cfg_scale = 1;
  const auto with = pipeline.generate(r, {}, never_);
  r.negative_prompt_ids.reset();
  EXPECT_EQ(pipeline.generate(r, {}, never_).images[0].data, with.images[0].data);
  EXPECT_NE(pipeline.generate(request(), {}, never_).images[0].data, with.images[0].data);
}

TEST_F(PipelineTest, ReportsEveryStepThatIsRun) {
  Pipeline pipeline = make();
  GenerateRequest r = request();
  r.num_inference_steps = 10;
  r.image = RawImage{64, 48, 3, std::vector<uint8_t>(64 * 48 * 3, 200)};
  r.strength = 0.3;
  std::vector<int64_t> steps;
  pipeline.generate(r,
                    {.on_progress =
                         [&](const Progress& p) {
                           EXPECT_EQ(p.total, 3);
                           if (p.stage == Stage::Denoise) steps.push_back(p.step);
                         }},
                    never_);
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 3}));
}

TEST_F(PipelineTest, LongSchedulesGoThroughSeveralWindowsOfModulation) {
  // 130 steps are three windows. With all steps in one window the rows must be the same.
  const auto transformer = load_transformer(folder_, at::kFloat, at::kCPU);
  const at::Tensor timesteps = at::linspace(1, 0.01, 130, at::TensorOptions(at::kFloat));
  const auto all = transformer->modulate(timesteps);
  ModulationWindow window(timesteps);
  for (const int64_t step : {0, 63, 64, 127, 128, 129, 5}) {
    const auto& rows = window.of(step, *transformer);
    const int64_t row = ModulationWindow::row_of(step);
    EXPECT_TRUE(
        rows.blocks[0].img.select(0, row).allclose(all.blocks[0].img.select(0, step), 1e-5, 1e-5))
        << step;
    EXPECT_TRUE(rows.norm_out.select(0, row).allclose(all.norm_out.select(0, step), 1e-5, 1e-5))
        << step;
  }
}

TEST_F(PipelineTest, CancelEndsTheRunAtTheNextStep) {
  Pipeline pipeline = make();
  GenerateRequest r = request();
  r.num_inference_steps = 50;
  CancelToken cancel;
  int64_t last = 0;
  expect_error(ErrorCode::Cancelled, {}, [&] {
    pipeline.generate(r,
                      {.on_progress =
                           [&](const Progress& p) {
                             last = p.step;
                             if (p.stage == Stage::Denoise && p.step == 2) cancel.cancel();
                           }},
                      cancel);
  });
  EXPECT_EQ(last, 2);
}

// A stage that ends in an exception gives its model back.
TEST_F(PipelineTest, SequentialResidencyWorksOnAfterACancel) {
  Pipeline sequential = make(false);
  const auto before = sequential.generate(request(), {}, never_);
  for (const Stage stage : {Stage::Encode, Stage::Denoise, Stage::Decode}) {
    CancelToken cancel;
    GenerateRequest r = request();
    r.num_images = 2;
    expect_error(ErrorCode::Cancelled, {}, [&] {
      sequential.generate(r,
                          {.on_progress =
                               [&](const Progress& p) {
                                 if (p.stage == stage) cancel.cancel();
                               }},
                          cancel);
    });
    EXPECT_EQ(sequential.generate(request(), {}, never_).images[0].data, before.images[0].data);
  }
}

TEST_F(PipelineTest, AutoencoderCanBeStoppedBetweenPartsAndTiles) {
  const auto vae = load_vae(folder_, at::kFloat, at::kCPU);
  const at::Tensor latents = at::zeros({1, vae->config().z_dim, 8, 8});
  const models::vae::Tiling tiling{32, 24};
  const auto polls = [&](const models::vae::Tiling* how) {
    int64_t count = 0;
    vae->decode(latents, how, [&] { ++count; });
    return count;
  };
  const int64_t parts = polls(nullptr);
  EXPECT_GT(parts, 1);
  EXPECT_EQ(polls(&tiling), 9 * parts);
  EXPECT_THROW(vae->decode(latents, nullptr, [] { throw std::runtime_error("stop"); }),
               std::runtime_error);
}

TEST_F(PipelineTest, TextEncoderCanBeStoppedBetweenLayers) {
  const auto model = load_text_encoder(folder_, at::kFloat, at::kCPU);
  int64_t polls = 0;
  const at::Tensor polled = (*model)(request().prompt_ids, [&] { ++polls; });
  EXPECT_EQ(polls, model->config().num_hidden_layers);
  EXPECT_TRUE(polled.equal((*model)(request().prompt_ids)));
  EXPECT_THROW((*model)(request().prompt_ids, [] { throw std::runtime_error("stop"); }),
               std::runtime_error);
}

TEST_F(PipelineTest, NamesTheStageThatIsNotFinite) {
  const tests::TemporaryFolder folder;
  const auto fails = [&](const std::string& part, const std::string& stage, bool with_image) {
    const std::string model = folder.copy(folder_, part + stage);
    tests::fill_with_nan(model + "/" + part);
    GenerateRequest r = request();
    if (with_image) r.image = RawImage{64, 48, 3, std::vector<uint8_t>(64 * 48 * 3, 90)};
    Pipeline pipeline(model, {});
    expect_error(ErrorCode::NumericalFailure, {"'" + stage + "'"},
                 [&] { pipeline.generate(r, {}, never_); });
  };
  fails("text_encoder", "encode", false);
  fails("transformer", "denoise", false);
  fails("vae", "decode", false);
  fails("vae", "encode", true);
}

TEST_F(PipelineTest, TakesPromptsUpToTheEndOfTheRotaryTable) {
  Pipeline pipeline = make();
  GenerateRequest r = request();
  r.negative_prompt_ids.reset();
  r.num_inference_steps = 2;
  r.max_sequence_length = 5000;
  r.prompt_ids.resize(34 + 4096 - 64 / 16 / 2, r.prompt_ids.back());
  EXPECT_EQ(pipeline.generate(r, {}, never_).images.size(), 1u);
  r.prompt_ids.push_back(r.prompt_ids.back());
  expect_error(ErrorCode::InvalidArgument, {"too long: 4095 tokens, at most 4094 go with 64 x 48"},
               [&] { pipeline.generate(r, {}, never_); });
}

TEST_F(PipelineTest, TilesBySizeAlone) {
  EXPECT_FALSE(make().tiles_vae(1664, 928));
  EXPECT_FALSE(make().tiles_vae(2048, 1024));
  EXPECT_TRUE(make().tiles_vae(2048, 1040));
  EXPECT_TRUE(make(true, VaeTiling::Always).tiles_vae(64, 64));
  EXPECT_FALSE(make(true, VaeTiling::Never).tiles_vae(4096, 4096));
  Pipeline always = make(true, VaeTiling::Always);
  EXPECT_TRUE(always.generate(request(), {}, never_).vae_tiled);
}

TEST_F(PipelineTest, RefusesWhatWouldExhaustOrCorrupt) {
  Pipeline pipeline = make();
  const auto refuse = [&](const std::string& word,
                          const std::function<void(GenerateRequest&)>& change) {
    GenerateRequest r = request();
    change(r);
    expect_error(ErrorCode::InvalidArgument, {word}, [&] { pipeline.generate(r, {}, never_); });
  };
  refuse("width", [](auto& r) { r.width = 60; });
  refuse("height", [](auto& r) { r.height = 0; });
  refuse("width", [](auto& r) { r.width = 1 << 20; });
  refuse("num_inference_steps",
         [](auto& r) { r.num_inference_steps = 1; });  // shift_terminal is set
  refuse("num_inference_steps", [](auto& r) { r.num_inference_steps = 1 << 20; });
  refuse("num_images", [](auto& r) { r.num_images = 0; });
  refuse("previews", [](auto& r) { r.previews = 4; });
  refuse("previews", [](auto& r) { r.previews = -1; });
  refuse("max_sequence_length must be at least 1, got 0",
         [](auto& r) { r.max_sequence_length = 0; });
  refuse("true_cfg_scale must be finite, got nan",
         [](auto& r) { r.true_cfg_scale = std::numeric_limits<double>::quiet_NaN(); });
  refuse("prefix of 34, got 34 tokens", [](auto& r) { r.prompt_ids.resize(34); });
  refuse("token id", [](auto& r) { r.prompt_ids.back() = 1 << 20; });
  refuse("token id", [](auto& r) { r.prompt_ids.back() = -1; });
  refuse("image must be width x height x 3 bytes, got 4 x 4 x 3 in 5 bytes", [](auto& r) {
    r.image = RawImage{4, 4, 3, std::vector<uint8_t>(5)};
  });
  refuse("strength must be above 0 and at most 1, got 0", [](auto& r) {
    r.image = RawImage{4, 4, 3, std::vector<uint8_t>(48)};
    r.strength = 0;
  });
  EXPECT_EQ(pipeline.generate(request(), {}, never_).images.size(), 1u);
}

TEST(Latents, PackAndUnpackAreInverse) {
  const at::Tensor latents = at::arange(1 * 5 * 6 * 8, at::kFloat).view({1, 5, 6, 8});
  const at::Tensor packed = pack(latents);
  EXPECT_EQ(packed.sizes(), at::IntArrayRef({12, 20}));
  // token (row 1, column 2), feature c * 4 + dy * 2 + dx
  EXPECT_EQ(packed.index({6, 3 * 4 + 1 * 2 + 0}).item<float>(),
            latents.index({0, 3, 3, 4}).item<float>());
  EXPECT_TRUE(unpack(packed, 3, 4).equal(latents));
}

TEST(Guidance, KeepsTheLengthOfThePromptsPrediction) {
  const at::Tensor prediction =
      NoiseSource(3).normal(2, 7, 12, at::kFloat, at::kCPU).squeeze(0);  // [2, 7, 12]
  const at::Tensor guided = guide(prediction, 4.0);
  const at::Tensor expected = prediction[1] + 4.0 * (prediction[0] - prediction[1]);
  EXPECT_LT((guided.norm(2, -1) - prediction[0].norm(2, -1)).abs().max().item<double>(), 1e-5);
  const at::Tensor cosine = at::cosine_similarity(guided, expected, -1);
  EXPECT_LT((cosine - 1).abs().max().item<double>(), 1e-5);
}

TEST(FiniteWatch, NamesTheStage) {
  FiniteWatch watch("denoise");
  watch.look(at::ones({3}));
  watch.check();
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    expect_error(ErrorCode::NumericalFailure, {"'denoise'"}, [&] {
      FiniteWatch("denoise").look(at::tensor({1.0, bad}));
    });
  }
}

}  // namespace
}  // namespace qwen::pipeline
