#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// What a picture looks like while it is being denoised.
namespace qwen::pipeline {

// Steps of `total` after which a picture is shown `count` times at even distances. Fewer where
// there are not that many steps before the last one, after which the picture itself comes.
std::vector<int64_t> preview_steps(int64_t total, int64_t count);

// The clean latents that the running ones move to along the last velocity: flow matching mixes
// x = (1 - sigma) * clean + sigma * noise and predicts noise - clean. All [S, C] packed; sigma is
// 0-dim, the noise level that `latents` have.
at::Tensor predict_clean(const at::Tensor& latents, const at::Tensor& velocity,
                         const at::Tensor& sigma);

// Latents of the picture at half its side: [1, C, h, w] → [1, C, h / 2, w / 2]. h and w are even,
// since tokens are 2 x 2 cells. Means of latents decode to the small picture well enough to judge
// it, for a quarter of the time and memory.
at::Tensor halve(const at::Tensor& latents);

}  // namespace qwen::pipeline
