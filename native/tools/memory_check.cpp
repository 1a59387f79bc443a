// Measures what each stage takes at its peak on the CPU and prints it beside the memory model
// (pipeline/memory.h). Random weights: the released VAE, the transformers at a quarter of their
// width and with few layers, which changes nothing about what is alive together. `memory_check
// [--dtype float32|bfloat16]`; ends with `N passed, N failed`: a peak above the model fails.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <malloc.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>

#include "engine/device.h"
#include "pipeline/memory.h"
#include "pipeline/pipeline.h"
#include "tools/random_models.h"

namespace {

using namespace qwen;

int passed = 0, failed = 0;

int64_t status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

// By how much `stage` raises the resident memory at its peak. The first run pays for the libraries.
int64_t peak_of(const std::function<void()>& stage) {
  for (int run = 0;; ++run) {
    malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const int64_t before = status_bytes("VmRSS");
    stage();
    if (run == 1) return status_bytes("VmHWM") - before;
  }
}

void compare(const char* stage, double activations, const std::function<void()>& run) {
  const double estimate = activations + static_cast<double>(pipeline::kHeapHoles);
  const auto measured = static_cast<double>(peak_of(run));
  const bool holds = measured <= estimate;
  ++(holds ? passed : failed);
  std::printf("%s  %-44s %9.1f MB measured %9.1f MB estimated  x %.2f\n", holds ? "ok  " : "FAIL",
              stage, measured / 1e6, estimate / 1e6, estimate / measured);
}

std::string name_of(const char* stage, int64_t width, int64_t height) {
  return std::string(stage) + ", " + std::to_string(width) + " x " + std::to_string(height);
}

}  // namespace

int main(int argc, char** argv) try {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const bool half = argc == 3 && std::strcmp(argv[2], "bfloat16") == 0;
  if (argc != 1 && !(argc == 3 && std::strcmp(argv[1], "--dtype") == 0))
    throw std::invalid_argument("usage: memory_check [--dtype float32|bfloat16]");
  const at::ScalarType dtype = half ? at::kBFloat16 : at::kFloat;
  const c10::InferenceMode inference;
  const auto options = at::TensorOptions().dtype(dtype);

  const models::qwen2_5_vl::TextConfig text{896, 2, 7, 1, 4736, 1344, 1e-6, 1e6};
  const models::qwen_image::Config transformer{2, 64, 16, 2, 128, 6, 896, {16, 56, 56}};
  const models::vae::Config vae{
      96, 16, {1, 2, 4, 4}, 2, 3, std::vector<double>(16, 0.0), std::vector<double>(16, 1.0)};
  const auto memory =
      pipeline::describe_activations(text, transformer, vae, pipeline::storage_of(dtype, at::kCPU));

  {
    const auto model = tools::make_random<models::qwen2_5_vl::TextModel>(text, dtype, at::kCPU);
    for (const int64_t tokens : {40, 300, 1058}) {
      compare(("text encoder, " + std::to_string(tokens) + " tokens").c_str(),
              memory.text_encoder.per_token * static_cast<double>(tokens),
              [&] { (*model)(std::vector<int64_t>(tokens, 5)); });
    }
  }
  {
    using namespace models::qwen_image;
    const auto model = tools::make_random<Transformer>(transformer, dtype, at::kCPU);
    for (const auto& [width, height] : {std::pair{512, 512}, {1024, 1024}}) {
      const TokenGrid grid{1, height / 16, width / 16};
      const at::Tensor latents = at::randn({grid.tokens(), 64}, options);
      for (const int64_t branches : {1, 2}) {
        const at::Tensor rows = at::randn({200, 896}, options);
        compare(name_of(branches == 1 ? "transformer" : "transformer with guidance", width, height)
                    .c_str(),
                memory.transformer.per_step +
                    width * height *
                        (memory.transformer.per_pixel +
                         static_cast<double>(branches) * memory.transformer.per_branch_pixel) +
                    200 * static_cast<double>(branches) * memory.transformer.per_text_token,
                [&] {
                  const auto conditioning =
                      model->condition(std::vector<at::Tensor>(branches, rows), {grid});
                  const auto modulation = model->modulate(at::full({1}, 0.5, options));
                  (*model)(latents, conditioning, modulation, 0);
                });
      }
    }
  }
  {
    const auto model = tools::make_random<models::vae::Autoencoder>(vae, dtype, at::kCPU);
    const models::vae::Tiling tiling;
    for (const auto& [width, height] : {std::pair{256, 256}, {640, 512}}) {
      const auto pixels = static_cast<double>(width * height);
      const at::Tensor image = at::rand({1, 3, height, width}, options) * 2 - 1;
      const at::Tensor latents = at::randn({1, 16, height / 8, width / 8}, options);
      const auto estimate = [&](const auto& part, double work) {
        return part.per_work_pixel * work + part.per_pixel * pixels;
      };
      compare(name_of("VAE encoder", width, height).c_str(), estimate(memory.vae_encoder, pixels),
              [&] { model->encode(image, nullptr, [] {}); });
      compare(name_of("VAE decoder", width, height).c_str(), estimate(memory.vae_decoder, pixels),
              [&] { model->decode(latents, nullptr, [] {}); });
      const double tile = 256.0 * 256;
      compare(name_of("VAE encoder in tiles", width, height).c_str(),
              estimate(memory.vae_encoder, tile), [&] { model->encode(image, &tiling, [] {}); });
      compare(name_of("VAE decoder in tiles", width, height).c_str(),
              estimate(memory.vae_decoder, tile), [&] { model->decode(latents, &tiling, [] {}); });
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "memory_check: %s\n", error.what());
  return 1;
}
