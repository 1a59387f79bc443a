#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace qwen::pipeline {

// [1, C, h, w] → [h / 2 * w / 2, 4 * C]: 2 x 2 cells a token, feature = c * 4 + dy * 2 + dx
at::Tensor pack(const at::Tensor& latents);
// The inverse, for a picture of rows x columns tokens → [1, C, 2 * rows, 2 * columns]
at::Tensor unpack(const at::Tensor& packed, int64_t rows, int64_t columns);

// Random numbers of one image, drawn on the CPU whatever the device, so that a seed means one
// picture everywhere.
class NoiseSource final {
 public:
  explicit NoiseSource(uint64_t seed);
  const at::Generator& generator() const { return generator_; }
  // Standard normal [1, C, h, w] in `dtype`; successive calls go on in the stream.
  at::Tensor normal(int64_t channels, int64_t height, int64_t width, at::ScalarType dtype,
                    at::Device device);

 private:
  at::Generator generator_;
};

}  // namespace qwen::pipeline
