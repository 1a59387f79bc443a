#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace qwen::models::vae {

// Sizes along both axes, in the units of the input and of the output.
struct TilePlan {
  int64_t tile_in, stride_in;
  int64_t tile_out, stride_out;
  int64_t height_out, width_out;  // of the whole result
};

// Runs `pass` over overlapping tiles of x [B, C, H, W] and blends the results, each with the tile
// above and then the tile to the left, in row-major order and in place: later tiles blend against
// already blended ones. model-spec 7.6
at::Tensor run_tiled(const at::Tensor& x, const TilePlan& plan,
                     const std::function<at::Tensor(const at::Tensor&)>& pass);

}  // namespace qwen::models::vae
