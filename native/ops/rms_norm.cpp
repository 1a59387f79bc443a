#include <ATen/ATen.h>

#include <cmath>

#include "ops/cpu_loops.h"
#include "ops/ops.h"

namespace qwen::ops {
namespace {

template <typename T>
QWEN_IN_CLONES void rms_norm_row(T* out, const T* x, const T* weight, int64_t dim, double eps) {
  const float sum = sum_of_squares(x, dim);
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(dim) + static_cast<float>(eps));
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) {
    const float normed = round_to(load(x + i) * scale, x);
    store(out + i, normed * load(weight + i));
  }
}

QWEN_VECTOR_CLONES void rms_norm_rows(float* out, const float* x, const float* weight, int64_t rows,
                                      int64_t dim, double eps) {
  for (int64_t r = 0; r < rows; ++r) rms_norm_row(out + r * dim, x + r * dim, weight, dim, eps);
}

QWEN_VECTOR_CLONES void rms_norm_rows(BFloat16Bits* out, const BFloat16Bits* x,
                                      const BFloat16Bits* weight, int64_t rows, int64_t dim,
                                      double eps) {
  for (int64_t r = 0; r < rows; ++r) rms_norm_row(out + r * dim, x + r * dim, weight, dim, eps);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!has_cpu_loop(x)) {
    const at::Tensor x32 = x.to(at::kFloat);
    const at::Tensor variance = x32.pow(2).mean(-1, /*keepdim=*/true);
    return (x32 * at::rsqrt(variance + eps)).to(x.scalar_type()) * weight;
  }
  const at::Tensor input = x.contiguous();
  const at::Tensor scale = weight.contiguous();
  at::Tensor out = at::empty_like(input);
  const int64_t dim = input.size(-1);
  dispatch_dtype(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    at::parallel_for(0, input.numel() / dim, grain_rows(dim), [&](int64_t begin, int64_t end) {
      rms_norm_rows(mutable_data_of<T>(out) + begin * dim, data_of<T>(input) + begin * dim,
                    data_of<T>(scale), end - begin, dim, eps);
    });
  });
  return out;
}

}  // namespace qwen::ops
