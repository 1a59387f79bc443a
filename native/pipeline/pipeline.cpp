#include "pipeline/pipeline.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "errors/error.h"
#include "pipeline/guidance.h"
#include "pipeline/image.h"
#include "pipeline/latents.h"
#include "pipeline/load.h"
#include "pipeline/modulation_window.h"
#include "pipeline/watch.h"

namespace qwen::pipeline {
namespace {

using errors::EngineError;
using errors::ErrorCode;
using models::qwen_image::Conditioning;
using models::qwen_image::TokenGrid;

// Above this many output pixels `auto` tiles the VAE: the released models' sizes stay in one piece.
constexpr int64_t kAutoTilingPixels = 2'097'152;
// Native bounds against what would exhaust the process; the service's own limits are tighter.
constexpr int64_t kMaxSide = 16'384;
constexpr int64_t kMaxSteps = 10'000;
constexpr int64_t kMaxImages = 64;
constexpr int64_t kMaxRopePositions = 4096;  // the reference's rotary table ends there

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

void require(bool holds, const std::string& message) {
  if (!holds) throw EngineError(ErrorCode::InvalidArgument, message);
}

}  // namespace

struct Pipeline::Run {
  const GenerateRequest& request;
  const OnProgress& on_progress;
  const CancelToken& cancel;

  const Observer& observer;

  Run(const GenerateRequest& request, const OnProgress& on_progress, const CancelToken& cancel,
      const Observer& observer)
      : request(request), on_progress(on_progress), cancel(cancel), observer(observer) {}

  TokenGrid grid{1, 0, 0};
  Schedule schedule;
  int64_t first_step = 0;
  bool guided = false;
  std::optional<models::vae::Tiling> tiling;

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
    if (on_progress) on_progress({stage, image, step, steps()});
  }
};

Pipeline::Pipeline(const std::string& folder, const PipelineOptions& options)
    : options_(options),
      vae_config_(models::vae::Config::read(folder + "/vae/config.json")),
      scheduler_(Scheduler::read(folder + "/scheduler/scheduler_config.json")),
      text_encoder_([=] { return load_text_encoder(folder, options.dtype, options.device); },
                    options.resident),
      transformer_([=] { return load_transformer(folder, options.dtype, options.device); },
                   options.resident),
      vae_([=] { return load_vae(folder, options.dtype, options.device); }, options.resident) {
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
  switch (options_.vae_tiling) {
    case VaeTiling::Always:
      return true;
    case VaeTiling::Never:
      return false;
    case VaeTiling::Auto:
      return width * height > kAutoTilingPixels;
  }
  return false;
}

void Pipeline::check(const GenerateRequest& r) const {
  const auto side = [&](const char* name, int64_t value) {
    require(value > 0 && value <= kMaxSide && value % size_multiple() == 0,
            std::string(name) + " must be a multiple of " + std::to_string(size_multiple()) +
                " up to " + std::to_string(kMaxSide) + ", got " + std::to_string(value));
  };
  side("width", r.width);
  side("height", r.height);
  require(r.num_inference_steps >= min_steps() && r.num_inference_steps <= kMaxSteps,
          "num_inference_steps must be from " + std::to_string(min_steps()) + " to " +
              std::to_string(kMaxSteps) + ", got " + std::to_string(r.num_inference_steps));
  require(r.num_images >= 1 && r.num_images <= kMaxImages,
          "num_images must be from 1 to " + std::to_string(kMaxImages) + ", got " +
              std::to_string(r.num_images));
  require(r.max_sequence_length >= 1, "max_sequence_length must be at least 1");
  require(std::isfinite(r.true_cfg_scale), "true_cfg_scale must be finite");
  const auto longest =
      std::max(r.prompt_ids.size(), r.negative_prompt_ids ? r.negative_prompt_ids->size() : 0);
  const auto shortest = std::min(r.prompt_ids.size(),
                                 r.negative_prompt_ids ? r.negative_prompt_ids->size() : longest);
  require(r.drop_index >= 0 && static_cast<int64_t>(shortest) > r.drop_index,
          "the prompt's tokens must go beyond the template's prefix");
  const int64_t offset = std::max(r.width, r.height) / size_multiple() / 2;
  const int64_t kept =
      std::min(static_cast<int64_t>(longest) - r.drop_index, r.max_sequence_length);
  require(offset + kept <= kMaxRopePositions, "the prompt is too long for this size");
  if (r.image) {
    const RawImage& image = *r.image;
    require(image.channels == 3 && image.width > 0 && image.height > 0 &&
                image.data.size() == static_cast<size_t>(image.width * image.height * 3),
            "image must be width x height x 3 bytes");
    require(r.strength > 0 && r.strength <= 1, "strength must be above 0 and at most 1");
  }
}

GenerateResult Pipeline::generate(const GenerateRequest& request, const OnProgress& on_progress,
                                  const CancelToken& cancel, const Observer& observer) {
  check(request);
  const auto start = std::chrono::steady_clock::now();
  Run run(request, on_progress, cancel, observer);
  run.grid = {1, request.height / size_multiple(), request.width / size_multiple()};
  run.schedule = scheduler_.schedule(request.num_inference_steps, run.grid.tokens());
  run.first_step = request.image ? first_step(request.num_inference_steps, request.strength) : 0;
  run.guided = request.negative_prompt_ids && request.true_cfg_scale > 1;
  if (tiles_vae(request.width, request.height)) run.tiling.emplace();
  run.result.vae_tiled = run.tiling.has_value();

  // Stage by stage over all images, so that sequential residency loads each model once.
  encode_prompts(run);
  if (request.image) encode_image(run);
  run.result.timings.encode_ms = ms_since(start);
  denoise(run);
  decode(run);
  run.result.timings.total_ms = ms_since(start);
  return std::move(run.result);
}

void Pipeline::encode_prompts(Run& run) {
  run.poll();
  const auto text_encoder = text_encoder_.lease();
  FiniteWatch watch("encode");
  const auto encode = [&](const std::vector<int64_t>& ids) {
    const at::Tensor hidden = (*text_encoder)(ids);
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
  const auto vae = vae_.lease();
  const at::Tensor pixels =
      to_tensor(resize_lanczos(*run.request.image, run.request.width, run.request.height));
  run.picture = vae->encode(pixels.to(at::TensorOptions(options_.device).dtype(options_.dtype)),
                            run.tiling ? &*run.tiling : nullptr, [&] { run.poll(); });
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
  const auto transformer = transformer_.lease();
  const at::Device device = options_.device;
  const int64_t steps = run.steps();

  const Conditioning conditioning = transformer->condition(run.texts, {run.grid});
  const auto tail = [&](const std::vector<float>& values, int64_t extra) {
    return at::tensor(at::ArrayRef<float>(values.data() + run.first_step, steps + extra),
                      at::kFloat)
        .to(device);
  };
  // The timestep is rounded to the model's dtype before it is divided, as the pipelines do.
  ModulationWindow modulation(*transformer,
                              tail(run.schedule.timesteps, 0).to(options_.dtype) / 1000);
  const at::Tensor sigmas = tail(run.schedule.sigmas, 1);
  const at::Tensor deltas = sigmas.narrow(0, 1, steps) - sigmas.narrow(0, 0, steps);
  models::qwen_image::AfterBlock between_blocks;
  if (device.is_cpu()) between_blocks = [&](int64_t, const auto&) { run.poll(); };

  for (int64_t image = 0; image < run.request.num_images; ++image) {
    at::Tensor latents = start_latents(run, image);
    run.observe("start", latents);
    FiniteWatch watch("denoise");
    StepPacer pacer(device);
    for (int64_t step = 0; step < steps; ++step) {
      run.poll();
      const at::Tensor prediction = (*transformer)(latents, conditioning, modulation.of(step),
                                                   ModulationWindow::row_of(step), between_blocks);
      const at::Tensor velocity =
          run.guided ? guide(prediction, run.request.true_cfg_scale) : prediction.select(0, 0);
      // dt is a 0-dim tensor: the product is rounded to the model's dtype, the sum is float32.
      latents = (latents.to(at::kFloat) + deltas.select(0, step) * velocity).to(options_.dtype);
      run.observe("step", latents);
      watch.look(latents);
      const int64_t done = pacer.issued();
      if (done > 0) run.report(Stage::Denoise, image, done);
    }
    pacer.finish();
    watch.check();
    if (!device.is_cpu()) run.report(Stage::Denoise, image, steps);
    run.latents.push_back(latents);
  }
  run.result.timings.denoise_ms = ms_since(start);
}

void Pipeline::decode(Run& run) {
  const auto start = std::chrono::steady_clock::now();
  run.poll();
  const auto vae = vae_.lease();
  for (int64_t image = 0; image < run.request.num_images; ++image) {
    const at::Tensor latents = unpack(run.latents[image], run.grid.rows, run.grid.columns);
    const at::Tensor decoded =
        vae->decode(models::vae::denormalize(latents, vae_config_),
                    run.tiling ? &*run.tiling : nullptr, [&] { run.poll(); });
    run.observe("decoded", decoded);
    FiniteWatch watch("decode");
    watch.look(decoded);
    watch.check();
    run.result.images.push_back(to_raw_image(decoded));
    run.report(Stage::Decode, image, run.steps());
  }
  run.result.timings.decode_ms = ms_since(start);
}

}  // namespace qwen::pipeline
