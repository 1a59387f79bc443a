#include "pipeline/guidance.h"

#include <ATen/ATen.h>

namespace qwen::pipeline {

at::Tensor guide(const at::Tensor& prediction, double scale) {
  const at::Tensor cond = prediction.select(0, 0);
  const at::Tensor uncond = prediction.select(0, 1);
  const at::Tensor combined = uncond + scale * (cond - uncond);
  const auto length = [](const at::Tensor& x) {
    return at::linalg_vector_norm(x, 2, {-1}, /*keepdim=*/true);
  };
  return combined * (length(cond) / length(combined));
}

}  // namespace qwen::pipeline
