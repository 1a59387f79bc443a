#include <ATen/ATen.h>

#include <cmath>

#include "ops/cpu_loops.h"
#include "ops/ops.h"

namespace qwen::ops {
namespace {

template <typename T>
QWEN_IN_CLONES void channel_norm_pixel(T* out, const T* x, const T* gamma, int64_t channels,
                                       float factor) {
  const float sum = sum_of_squares(x, channels);
  const float length = std::max(std::sqrt(sum), 1e-12f);
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) {
    const float normed = round_to(load(x + c) / length, x);
    store(out + c, round_to(normed * factor, x) * load(gamma + c));
  }
}

QWEN_VECTOR_CLONES void channel_norm_pixels(float* out, const float* x, const float* gamma,
                                            int64_t pixels, int64_t channels, float factor) {
  for (int64_t p = 0; p < pixels; ++p) {
    channel_norm_pixel(out + p * channels, x + p * channels, gamma, channels, factor);
  }
}

QWEN_VECTOR_CLONES void channel_norm_pixels(BFloat16Bits* out, const BFloat16Bits* x,
                                            const BFloat16Bits* gamma, int64_t pixels,
                                            int64_t channels, float factor) {
  for (int64_t p = 0; p < pixels; ++p) {
    channel_norm_pixel(out + p * channels, x + p * channels, gamma, channels, factor);
  }
}

at::Tensor composed(const at::Tensor& x, const at::Tensor& gamma) {
  const at::Tensor x32 = x.to(at::kFloat);
  const at::Tensor length = at::linalg_vector_norm(x32, 2, {1}, /*keepdim=*/true).clamp_min(1e-12);
  const double factor = std::sqrt(static_cast<double>(x.size(1)));
  return (x32 / length).to(x.scalar_type()) * factor * gamma.view({1, -1, 1, 1});
}

}  // namespace

at::Tensor channel_norm(const at::Tensor& x, const at::Tensor& gamma, bool silu) {
  at::Tensor out;
  if (!has_cpu_loop(x)) {
    out = composed(x, gamma);
  } else {
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t channels = input.size(1);
    const auto factor = static_cast<float>(std::sqrt(static_cast<double>(channels)));
    out = at::empty_like(input);
    dispatch_dtype(input, [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      at::parallel_for(0, input.numel() / channels, grain_rows(channels),
                       [&](int64_t begin, int64_t end) {
                         channel_norm_pixels(mutable_data_of<T>(out) + begin * channels,
                                             data_of<T>(input) + begin * channels,
                                             data_of<T>(gamma), end - begin, channels, factor);
                       });
    });
  }
  return silu ? at::silu_(out) : out;
}

}  // namespace qwen::ops
