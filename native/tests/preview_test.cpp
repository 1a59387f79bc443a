#include "pipeline/preview.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/StringUtil.h>

#include <algorithm>

#include "pipeline/latents.h"
#include "pipeline/pipeline.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"

namespace qwen::pipeline {
namespace {

using errors::ErrorCode;
using tests::expect_error;
using Steps = std::vector<int64_t>;

TEST(PreviewSteps, AreSpreadEvenlyAndEndBeforeTheLastStep) {
  EXPECT_EQ(preview_steps(20, 0), Steps());
  EXPECT_EQ(preview_steps(20, 1), Steps({10}));
  EXPECT_EQ(preview_steps(20, 2), Steps({7, 13}));
  EXPECT_EQ(preview_steps(20, 3), Steps({5, 10, 15}));
  EXPECT_EQ(preview_steps(5, 1), Steps({3}));  // 2.5
}

TEST(PreviewSteps, AreFewerWhereThereAreFewSteps) {
  EXPECT_EQ(preview_steps(1, 3), Steps());
  EXPECT_EQ(preview_steps(2, 3), Steps({1}));
  EXPECT_EQ(preview_steps(3, 3), Steps({1, 2}));
  EXPECT_EQ(preview_steps(4, 3), Steps({1, 2, 3}));
}

TEST(Preview, PredictsTheCleanLatents) {
  const at::Tensor clean = NoiseSource(1).normal(2, 4, 6, at::kFloat, at::kCPU);
  const at::Tensor noise = NoiseSource(2).normal(2, 4, 6, at::kFloat, at::kCPU);
  const at::Tensor sigma = at::scalar_tensor(0.7f);
  const at::Tensor running = (1 - sigma) * clean + sigma * noise;
  EXPECT_TRUE(predict_clean(running, noise - clean, sigma).allclose(clean, 1e-5, 1e-5));
}

TEST(Preview, HalvesByMeansOfFourCells) {
  const at::Tensor latents = at::arange(2 * 2 * 6, at::kFloat).view({1, 2, 2, 6});
  const at::Tensor half = halve(latents);
  EXPECT_EQ(half.sizes(), at::IntArrayRef({1, 2, 1, 3}));
  EXPECT_EQ(half.index({0, 0, 0, 1}).item<float>(), (2 + 3 + 8 + 9) / 4.0f);
}

// Counts how many models of a test are alive.
struct Counted {
  explicit Counted(int& alive) : alive(alive) { ++alive; }
  ~Counted() { --alive; }
  int& alive;
};

TEST(StageModel, StepsAsideForAnotherWhereModelsTakeTurns) {
  int alive = 0;
  int polled = 0;
  const auto build = [&](const weights::Poll& poll) {
    if (poll) poll();
    return std::make_unique<const Counted>(alive);
  };
  const auto poll = [&] { ++polled; };
  for (const bool resident : {true, false}) {
    StageModel<Counted> stage(build, resident);
    {
      auto lease = stage.lease(poll);
      EXPECT_EQ(alive, 1);
      lease.step_aside([&] { EXPECT_EQ(alive, resident ? 1 : 0); });
      EXPECT_EQ(lease->alive, 1);
      EXPECT_THROW(lease.step_aside([] { throw std::runtime_error("stop"); }), std::runtime_error);
    }
    EXPECT_EQ(alive, resident ? 1 : 0);
    EXPECT_EQ(stage.lease(poll)->alive, 1);
    EXPECT_EQ(polled, resident ? 0 : 3);  // each time that one was built for a use
  }
}

class PreviewTest : public testing::Test {
 protected:
  GenerateRequest request(int64_t previews) const {
    GenerateRequest r;
    r.prompt_ids = recording_.ids("t2i.prompt_ids");
    r.negative_prompt_ids = recording_.ids("t2i.negative_ids");
    r.drop_index = 34;
    r.width = 80;  // five tokens: the half of an even number of cells may be odd
    r.height = 48;
    r.num_inference_steps = 8;
    r.true_cfg_scale = 4;
    r.seed = 5;
    r.num_images = 2;
    r.previews = previews;
    return r;
  }

  struct Seen {
    std::vector<std::string> order;  // "d<image>.<step>" of a step, "p<image>.<index>@<step>"
    std::vector<Preview> previews;
    std::vector<at::Tensor> steps;
    GenerateResult result;
  };
  Seen run(Pipeline& pipeline, const GenerateRequest& r) const {
    Seen seen;
    const Events events = {
        .on_progress =
            [&](const Progress& p) {
              if (p.stage == Stage::Denoise)
                seen.order.push_back(c10::str("d", p.image, ".", p.step));
            },
        .on_preview =
            [&](Preview&& p) {
              seen.order.push_back(c10::str("p", p.image, ".", p.index, "@", p.step));
              seen.previews.push_back(std::move(p));
            }};
    seen.result =
        pipeline.generate(r, events, never_, [&](std::string_view name, const at::Tensor& value) {
          if (name == "step") seen.steps.push_back(value.clone());
        });
    return seen;
  }

  const std::string folder_ = golden::checkpoint_folder("released");
  const golden::Recording recording_{"released"};
  const c10::InferenceMode inference_;
  const CancelToken never_;
};

TEST_F(PreviewTest, ComeInOrderWithTheStepsAtHalfTheSide) {
  Pipeline pipeline(folder_, {});
  const Seen seen = run(pipeline, request(3));
  std::vector<std::string> expected;
  for (const char image : {'0', '1'}) {
    for (const char* event : {"d#.1", "d#.2", "p#.0@2", "d#.3", "d#.4", "p#.1@4", "d#.5", "d#.6",
                              "p#.2@6", "d#.7", "d#.8"}) {
      expected.push_back(event);
      expected.back()[1] = image;
    }
  }
  EXPECT_EQ(seen.order, expected);
  for (const Preview& preview : seen.previews) {
    EXPECT_EQ(preview.picture.width, 40);
    EXPECT_EQ(preview.picture.height, 24);
    EXPECT_EQ(preview.picture.data.size(), 40u * 24 * 3);
  }
}

TEST_F(PreviewTest, ChangeNothingOfThePictures) {
  for (const bool resident : {true, false}) {
    Pipeline pipeline(folder_, {.resident = resident});
    const Seen without = run(pipeline, request(0)), with = run(pipeline, request(3));
    EXPECT_TRUE(without.previews.empty());
    EXPECT_EQ(with.previews.size(), 6u);
    ASSERT_EQ(with.steps.size(), without.steps.size());
    for (size_t i = 0; i < with.steps.size(); ++i)
      EXPECT_TRUE(with.steps[i].equal(without.steps[i])) << i;
    for (size_t k = 0; k < 2; ++k)
      EXPECT_EQ(with.result.images[k].data, without.result.images[k].data) << k;
  }
}

TEST_F(PreviewTest, StopAtACancel) {
  Pipeline pipeline(folder_, {});
  CancelToken cancel;
  int previews = 0;
  const Events events = {.on_progress =
                             [&](const Progress& p) {
                               if (p.stage == Stage::Denoise && p.step == 2) cancel.cancel();
                             },
                         .on_preview = [&](Preview&&) { ++previews; }};
  expect_error(ErrorCode::Cancelled, {}, [&] { pipeline.generate(request(3), events, cancel); });
  EXPECT_EQ(previews, 0);
}

TEST_F(PreviewTest, OfNumbersThatAreNotFiniteEndTheJob) {
  const tests::TemporaryFolder folder;
  const std::string model = folder.copy(folder_, "model");
  tests::fill_with_nan(model + "/vae");
  Pipeline pipeline(model, {});
  std::vector<int64_t> steps;
  const Events events = {.on_progress = [&](const Progress& p) { steps.push_back(p.step); }};
  expect_error(ErrorCode::NumericalFailure, {"'decode'"},
               [&] { pipeline.generate(request(1), events, never_); });
  EXPECT_EQ(steps.back(), 4);
}

}  // namespace
}  // namespace qwen::pipeline
