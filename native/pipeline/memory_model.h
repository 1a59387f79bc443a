#pragma once

#include <cstdint>
#include <optional>

namespace qwen::pipeline {

// Bytes that a run takes at its peak, as plain coefficients: whoever admits requests can judge
// their shape without asking the engine. libs/engine/src/memory-estimate.ts puts them together:
// the stages take turns, so a run takes what it holds throughout and the largest of its stages.
struct MemoryModel {
  int64_t budget = 0;    // to plan with
  int64_t resident = 0;  // whatever runs: the process with its libraries, weights that stay

  // Held from the request to the result.
  struct {
    double per_input_pixel = 0;    // the start picture as it came
    double per_picture_pixel = 0;  // of every picture that is drawn: latents, pixels, the answer
    double per_text_token = 0;     // rows of the embeddings, of all prompts
  } request;

  // `weights`: bytes where models take turns, else 0.
  struct {
    int64_t weights = 0;
    double per_token = 0;  // of the longer prompt with its template
  } text_encoder;
  struct {
    int64_t weights = 0;
    double per_step = 0;  // of the modulation, for `steps_at_once` at most
    int64_t steps_at_once = 0;
    double per_pixel = 0;
    double per_branch_pixel = 0;  // once, and again with guidance
    double per_text_token = 0;    // of all prompts
  } transformer;
  struct Vae {
    int64_t weights = 0;
    double per_work_pixel = 0;  // of the picture, or of one tile
    double per_pixel = 0;       // of the picture in any case
  };
  Vae vae_encoder, vae_decoder;
  struct Tiling {
    std::optional<int64_t> above_pixels;  // pictures that are larger go in tiles; or none does
    int64_t tile_pixels = 0;
  };
  Tiling tiling;
};

}  // namespace qwen::pipeline
