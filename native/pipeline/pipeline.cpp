#include "pipeline/pipeline.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

#include "errors/error.h"
#include "pipeline/guidance.h"
#include "pipeline/image.h"
#include "pipeline/latents.h"
#include "pipeline/load.h"
#include "pipeline/modulation_window.h"
#include "pipeline/preview.h"
#include "pipeline/watch.h"

namespace qwen::pipeline {
namespace {

using errors::EngineError;
using errors::ErrorCode;
using models::qwen_image::Conditioning;
using models::qwen_image::TokenGrid;

// Above this many output pixels `auto` tiles the VAE: the released models' sizes stay in one piece.
constexpr int64_t kAutoTilingPixels = 2'097'152;
constexpr models::vae::Tiling kTiling;

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

struct Pipeline::Run {
  const GenerateRequest& request;
  const Events& events;
  const CancelToken& cancel;
  const Observer& observer;

  Run(const GenerateRequest& request, const Events& events, const CancelToken& cancel,
      const Observer& observer)
      : request(request), events(events), cancel(cancel), observer(observer) {}

  TokenGrid grid{1, 0, 0};
  Schedule schedule;
  int64_t first_step = 0;
  bool guided = false;

  std::vector<at::Tensor> texts;  // [T, D]: prompt, then negative prompt when guided
  std::optional<models::vae::Posterior> picture;  // image-to-image: the encoded input
  std::vector<at::Tensor> latents;                // packed [S, C], one an image
  GenerateResult result;

  int64_t steps() const { return static_cast<int64_t>(schedule.timesteps.size()) - first_step; }
  void poll() const {
    if (cancel.cancelled()) throw EngineError(ErrorCode::Cancelled, "the job was cancelled");
  }
  void observe(std::string_view name, const at::Tensor& value) const {
    if (observer) observer(name, value);
  }
  void report(Stage stage, int64_t image, int64_t step) const {
    if (events.on_progress) events.on_progress({stage, image, step, steps()});
  }
};

Pipeline::Pipeline(const std::string& folder, const PipelineOptions& options)
    : options_(options),
      vae_config_(models::vae::Config::read(folder + "/vae/config.json")),
      scheduler_(Scheduler::read(folder + "/scheduler/scheduler_config.json")),
      text_encoder_(
          [=](const weights::Poll& poll) {
            return load_text_encoder(folder, options.dtype, options.device, poll);
          },
          options.resident),
      transformer_(
          [=](const weights::Poll& poll) {
            return load_transformer(folder, options.dtype, options.device, poll);
          },
          options.resident),
      vae_(
          [=](const weights::Poll& poll) {
            return load_vae(folder, options.dtype, options.device, poll);
          },
          options.resident) {
  const auto transformer = models::qwen_image::Config::read(folder + "/transformer/config.json");
  const auto text = models::qwen2_5_vl::TextConfig::read(folder + "/text_encoder/config.json");
  if (transformer.out_channels != vae_config_.z_dim) {
    errors::throw_invalid_model(folder + ": transformer/config.json out_channels " +
                                std::to_string(transformer.out_channels) +
                                " and vae/config.json z_dim " + std::to_string(vae_config_.z_dim) +
                                " must be equal");
  }
  if (transformer.joint_attention_dim != text.hidden_size) {
    errors::throw_invalid_model(folder + ": transformer/config.json joint_attention_dim " +
                                std::to_string(transformer.joint_attention_dim) +
                                " and text_encoder/config.json hidden_size " +
                                std::to_string(text.hidden_size) + " must be equal");
  }
}

bool Pipeline::tiles_vae(int64_t width, int64_t height) const {
  const auto tiles = vae_tiles();
  return tiles.above_pixels && width * height > *tiles.above_pixels;
}

MemoryModel::Tiling Pipeline::vae_tiles() const {
  MemoryModel::Tiling tiles{.above_pixels = {}, .tile_pixels = kTiling.tile * kTiling.tile};
  if (options_.vae_tiling == VaeTiling::Auto) tiles.above_pixels = kAutoTilingPixels;
  if (options_.vae_tiling == VaeTiling::Always) tiles.above_pixels = 0;
  return tiles;
}

GenerateResult Pipeline::generate(const GenerateRequest& request, const Events& events,
                                  const CancelToken& cancel, const Observer& observer) {
  check(request);
  const auto start = std::chrono::steady_clock::now();
  Run run(request, events, cancel, observer);
  run.grid = {1, request.height / size_multiple(), request.width / size_multiple()};
  run.schedule = scheduler_.schedule(request.num_inference_steps, run.grid.tokens());
  run.first_step = request.image ? first_step(request.num_inference_steps, request.strength) : 0;
  run.guided = request.negative_prompt_ids && request.true_cfg_scale > 1;
  run.result.vae_tiled = tiles_vae(request.width, request.height);

  // Stage by stage over all images, so that sequential residency loads each model once.
  encode_prompts(run);
  if (request.image) encode_image(run);
  run.result.timings.encode_ms = ms_since(start);
  denoise(run);
  decode_pictures(run);
  run.result.timings.total_ms = ms_since(start);
  return std::move(run.result);
}

void Pipeline::encode_prompts(Run& run) {
  run.poll();
  const auto text_encoder = text_encoder_.lease([&] { run.poll(); });
  FiniteWatch watch("encode");
  const auto encode = [&](const std::vector<int64_t>& ids) {
    const at::Tensor hidden = (*text_encoder)(ids, [&] { run.poll(); });
    const int64_t rows = hidden.size(0) - run.request.drop_index;
    const at::Tensor text =
        hidden.narrow(0, run.request.drop_index, std::min(rows, run.request.max_sequence_length));
    watch.look(text);
    run.texts.push_back(text);
  };
  encode(run.request.prompt_ids);
  if (run.guided) encode(*run.request.negative_prompt_ids);
  watch.check();
  run.report(Stage::Encode, 0, 0);
}

void Pipeline::encode_image(Run& run) {
  const auto vae = vae_.lease([&] { run.poll(); });
  const at::Tensor pixels =
      to_tensor(resize_lanczos(*run.request.image, run.request.width, run.request.height));
  run.picture = vae->encode(pixels.to(at::TensorOptions(options_.device).dtype(options_.dtype)),
                            run.result.vae_tiled ? &kTiling : nullptr, [&] { run.poll(); });
  FiniteWatch watch("encode");
  watch.look(run.picture->mean);
  watch.look(run.picture->deviation());
  watch.check();
  // Every image samples the same posterior with its own generator: normalised after sampling, in
  // start_latents.
}

at::Tensor Pipeline::start_latents(const Run& run, int64_t image) const {
  const int64_t height = 2 * run.grid.rows, width = 2 * run.grid.columns,
                channels = vae_config_.z_dim;
  NoiseSource source(run.request.seed + static_cast<uint64_t>(image));
  if (!run.picture)
    return pack(source.normal(channels, height, width, options_.dtype, options_.device));
  // Draw order as in the reference: the posterior first, then the noise.
  const at::Tensor sample =
      run.picture->mean + run.picture->deviation() * source.normal(channels, height, width,
                                                                   options_.dtype, options_.device);
  const at::Tensor clean = models::vae::normalize(sample, vae_config_);
  run.observe("image_latents", pack(clean));
  const at::Tensor noise = source.normal(channels, height, width, options_.dtype, options_.device);
  const at::Tensor sigma = at::scalar_tensor(run.schedule.sigmas[run.first_step], at::kFloat)
                               .to(options_.dtype)
                               .to(options_.device);
  return pack(sigma * noise + (1.0 - sigma) * clean);
}

void Pipeline::denoise(Run& run) {
  const auto start = std::chrono::steady_clock::now();
  auto transformer = transformer_.lease([&] { run.poll(); });
  const at::Device device = options_.device;
  const int64_t steps = run.steps();

  const Conditioning conditioning = transformer->condition(run.texts, {run.grid});
  const auto tail = [&](const std::vector<float>& values, int64_t extra) {
    return at::tensor(at::ArrayRef<float>(values.data() + run.first_step, steps + extra),
                      at::kFloat)
        .to(device);
  };
  // The timestep is rounded to the model's dtype before it is divided, as the pipelines do.
  ModulationWindow modulation(tail(run.schedule.timesteps, 0).to(options_.dtype) / 1000);
  const at::Tensor sigmas = tail(run.schedule.sigmas, 1);
  const at::Tensor deltas = sigmas.narrow(0, 1, steps) - sigmas.narrow(0, 0, steps);
  const std::vector<int64_t> shown = preview_steps(steps, run.request.previews);
  models::qwen_image::AfterBlock between_blocks;
  if (device.is_cpu()) between_blocks = [&](int64_t, const auto&) { run.poll(); };

  for (int64_t image = 0; image < run.request.num_images; ++image) {
    at::Tensor latents = start_latents(run, image);
    run.observe("start", latents);
    FiniteWatch watch("denoise");
    StepPacer pacer(device);
    int64_t reported = 0;
    const auto report = [&](int64_t done) {
      if (done > reported) run.report(Stage::Denoise, image, done);
      reported = std::max(reported, done);
    };
    for (int64_t step = 0; step < steps; ++step) {
      run.poll();
      const at::Tensor prediction =
          (*transformer)(latents, conditioning, modulation.of(step, *transformer),
                         ModulationWindow::row_of(step), between_blocks);
      const at::Tensor velocity =
          run.guided ? guide(prediction, run.request.true_cfg_scale) : prediction.select(0, 0);
      // dt is a 0-dim tensor: the product is rounded to the model's dtype, the sum is float32.
      latents = (latents.to(at::kFloat) + deltas.select(0, step) * velocity).to(options_.dtype);
      run.observe("step", latents);
      watch.look(latents);
      report(pacer.issued());
      const auto due = std::find(shown.begin(), shown.end(), step + 1);
      if (due == shown.end()) continue;
      pacer.finish();
      watch.check();
      report(step + 1);
      const at::Tensor clean = predict_clean(latents, velocity, sigmas.select(0, step + 1));
      transformer.step_aside([&] { show(run, {image, due - shown.begin(), step + 1, {}}, clean); });
    }
    pacer.finish();
    watch.check();
    report(steps);
    run.latents.push_back(latents);
  }
  run.result.timings.denoise_ms = ms_since(start) - run.result.timings.decode_ms;
}

void Pipeline::show(Run& run, Preview preview, const at::Tensor& clean) {
  const auto start = std::chrono::steady_clock::now();
  const auto vae = vae_.lease([&] { run.poll(); });
  preview.picture = decode(run, *vae, halve(unpack(clean, run.grid.rows, run.grid.columns)));
  run.poll();
  if (run.events.on_preview) run.events.on_preview(std::move(preview));
  run.result.timings.decode_ms += ms_since(start);
}

void Pipeline::decode_pictures(Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run.poll();
  const auto vae = vae_.lease([&] { run.poll(); });
  for (int64_t image = 0; image < run.request.num_images; ++image) {
    const at::Tensor latents = unpack(run.latents[image], run.grid.rows, run.grid.columns);
    run.result.images.push_back(decode(run, *vae, latents));
    run.report(Stage::Decode, image, run.steps());
  }
  run.result.timings.decode_ms += ms_since(start);
}

RawImage Pipeline::decode(const Run& run, const models::vae::Autoencoder& vae,
                          const at::Tensor& latents) const {
  run.poll();
  const int64_t ratio = vae_config_.spatial_ratio();
  const bool tiled = tiles_vae(latents.size(3) * ratio, latents.size(2) * ratio);
  const at::Tensor decoded = vae.decode(models::vae::denormalize(latents, vae_config_),
                                        tiled ? &kTiling : nullptr, [&] { run.poll(); });
  run.observe("decoded", decoded);
  FiniteWatch watch("decode");
  watch.look(decoded);
  watch.check();
  return to_raw_image(decoded);
}

}  // namespace qwen::pipeline
