#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// What goes into a generation and what comes out, free of libtorch: the addon and the tools see
// only this.
namespace qwen::pipeline {

// 8-bit pixels, row-major, interleaved, without padding: data.size() = width * height * channels.
struct RawImage {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 3;
  std::vector<uint8_t> data;
};

struct GenerateRequest {
  std::vector<int64_t> prompt_ids;                          // the filled-in template
  std::optional<std::vector<int64_t>> negative_prompt_ids;  // absent: no guidance
  int64_t drop_index = 0;             // leading rows of the embeddings that are dropped
  int64_t max_sequence_length = 512;  // rows that are kept behind them
  int64_t width = 0;                  // pixels, multiples of the model's size multiple
  int64_t height = 0;
  int64_t num_inference_steps = 1;
  double true_cfg_scale = 1.0;  // used when there are negative ids and it is above 1
  uint64_t seed = 0;            // image k is drawn from its own generator, seeded seed + k
  int64_t num_images = 1;
  std::optional<RawImage> image;  // image-to-image: RGB, any size
  double strength = 1.0;          // image-to-image: 0 < strength <= 1
  int64_t previews = 0;           // of each image, while it is denoised; fewer when steps are few
};

enum class Stage { Encode, Denoise, Decode };

struct Progress {
  Stage stage = Stage::Encode;
  int64_t image = 0;  // index in the request
  int64_t step = 0;   // steps done
  int64_t total = 0;  // steps that are really run
};

// A picture on its way: what its latents point at after `step` steps.
struct Preview {
  int64_t image = 0;  // index in the request
  int64_t index = 0;  // of the previews of this image
  int64_t step = 0;   // steps done
  RawImage picture;   // half the side of the picture that was asked for
};

// Calls upward during a run, on its own thread, in the order of what happens. Either may be empty.
struct Events {
  std::function<void(const Progress&)> on_progress = {};
  std::function<void(Preview&&)> on_preview = {};
};

// Wall-clock milliseconds over all images of a request.
struct Timings {
  double encode_ms = 0;
  double denoise_ms = 0;  // without the previews that interrupt it
  double decode_ms = 0;   // of previews and pictures
  double total_ms = 0;
};

struct GenerateResult {
  std::vector<RawImage> images;  // RGB
  Timings timings;
  bool vae_tiled = false;
};

// Set from any thread, polled by the engine thread between steps and between layers of the text
// encoder, on a CPU also between blocks and tiles.
class CancelToken final {
 public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_ = false;
};

}  // namespace qwen::pipeline
