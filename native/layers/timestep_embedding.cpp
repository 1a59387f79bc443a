#include "layers/timestep_embedding.h"

#include <ATen/ATen.h>

#include <cmath>

namespace qwen::layers {
namespace {

constexpr int64_t kChannels = 256;

at::Tensor sinusoid(const at::Tensor& timestep) {
  constexpr int64_t half = kChannels / 2;
  const auto options = at::TensorOptions(timestep.device()).dtype(at::kFloat);
  const at::Tensor exponent = -std::log(10000.0) * at::arange(half, options) / half;
  // float32 whatever the model's dtype, and t * freq before * 1000: the order decides the rounding.
  const at::Tensor angle =
      1000 * (timestep.to(at::kFloat).unsqueeze(1) * at::exp(exponent).unsqueeze(0));
  return at::cat({at::cos(angle), at::sin(angle)}, -1);  // [N, 256]
}

}  // namespace

TimestepEmbedding::TimestepEmbedding(const weights::Weights& w, int64_t dim)
    : linear_1_(w / "linear_1", kChannels, dim), linear_2_(w / "linear_2", dim, dim) {}

at::Tensor TimestepEmbedding::operator()(const at::Tensor& timestep) const {
  at::Tensor hidden = linear_1_(sinusoid(timestep).to(timestep.scalar_type()));
  return linear_2_(at::silu(hidden));
}

}  // namespace qwen::layers
