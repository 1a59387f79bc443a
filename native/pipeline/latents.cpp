#include "pipeline/latents.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace qwen::pipeline {

at::Tensor pack(const at::Tensor& latents) {
  const int64_t channels = latents.size(1), rows = latents.size(2) / 2,
                columns = latents.size(3) / 2;
  // [1, C, rows, 2, columns, 2] → [rows, columns, C, 2, 2] → [rows * columns, 4 * C]
  return latents.reshape({channels, rows, 2, columns, 2})
      .permute({1, 3, 0, 2, 4})
      .reshape({rows * columns, 4 * channels});
}

at::Tensor unpack(const at::Tensor& packed, int64_t rows, int64_t columns) {
  const int64_t channels = packed.size(1) / 4;
  // [rows, columns, C, 2, 2] → [C, rows, 2, columns, 2] → [1, C, 2 * rows, 2 * columns]
  return packed.reshape({rows, columns, channels, 2, 2})
      .permute({2, 0, 3, 1, 4})
      .reshape({1, channels, 2 * rows, 2 * columns});
}

NoiseSource::NoiseSource(uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}

at::Tensor NoiseSource::normal(int64_t channels, int64_t height, int64_t width,
                               at::ScalarType dtype, at::Device device) {
  return at::randn({1, channels, height, width}, generator_, at::TensorOptions(dtype)).to(device);
}

}  // namespace qwen::pipeline
