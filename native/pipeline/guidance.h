#pragma once

#include <ATen/core/Tensor.h>

namespace qwen::pipeline {

// True classifier-free guidance: u + scale * (c - u), then each token brought back to the length of
// c. prediction [2, S, F], row 0 for the prompt, row 1 for the negative prompt → [S, F]
at::Tensor guide(const at::Tensor& prediction, double scale);

}  // namespace qwen::pipeline
