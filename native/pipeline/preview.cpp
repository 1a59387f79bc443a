#include "pipeline/preview.h"

#include <ATen/ATen.h>

namespace qwen::pipeline {

std::vector<int64_t> preview_steps(int64_t total, int64_t count) {
  std::vector<int64_t> steps;
  const int64_t parts = count + 1;
  for (int64_t part = 1; part <= count; ++part) {
    const int64_t step = (2 * total * part + parts) / (2 * parts);  // rounded half up
    if (step > (steps.empty() ? 0 : steps.back()) && step < total) steps.push_back(step);
  }
  return steps;
}

at::Tensor predict_clean(const at::Tensor& latents, const at::Tensor& velocity,
                         const at::Tensor& sigma) {
  return (latents.to(at::kFloat) - sigma * velocity).to(latents.scalar_type());
}

at::Tensor halve(const at::Tensor& latents) { return at::avg_pool2d(latents, {2, 2}); }

}  // namespace qwen::pipeline
