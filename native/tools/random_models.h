#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <memory>

#include "pipeline/latents.h"
#include "weights/weights.h"

namespace qwen::tools {

// A model of any size without a checkpoint: it is asked which tensors it misses, and gets seeded
// random ones. Norms are 1 and weights scaled so that activations keep their size; for timing, not
// for pictures.
template <typename Model, typename Config>
std::unique_ptr<const Model> make_random(const Config& config, at::ScalarType dtype,
                                         at::Device device) {
  const weights::Weights wish(weights::Checkpoint::of({}), dtype, at::kCPU);
  const Model hollow(wish, config);
  pipeline::NoiseSource source(7);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : wish.missing()) {
    at::Tensor tensor = at::ones(shape, at::kFloat);
    if (shape.size() > 1 && name.find("gamma") == std::string::npos) {
      const double fan_in = static_cast<double>(tensor.numel()) / static_cast<double>(shape[0]);
      tensor =
          at::randn(shape, source.generator(), at::TensorOptions(at::kFloat)) / std::sqrt(fan_in);
    } else if (name.ends_with("bias")) {
      tensor.zero_();
    }
    tensors.emplace(name, tensor.to(dtype));
  }
  return std::make_unique<const Model>(
      weights::Weights(weights::Checkpoint::of(std::move(tensors)), dtype, device), config);
}

}  // namespace qwen::tools
