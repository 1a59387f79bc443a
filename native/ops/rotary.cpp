#include <ATen/ATen.h>

#include <cmath>

#include "ops/cpu_loops.h"
#include "ops/ops.h"

namespace qwen::ops {
namespace {

template <typename T>
QWEN_IN_CLONES void norm_rope_head(T* out, const T* x, const T* weight, const float* cos,
                                   const float* sin, int64_t dim, float eps) {
  const float sum = sum_of_squares(x, dim);
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(dim) + eps);
#pragma omp simd
  for (int64_t k = 0; k < dim / 2; ++k) {
    const float normed_re = round_to(load(x + 2 * k) * scale, x);
    const float normed_im = round_to(load(x + 2 * k + 1) * scale, x);
    const float re = round_to(normed_re * load(weight + 2 * k), x);
    const float im = round_to(normed_im * load(weight + 2 * k + 1), x);
    store(out + 2 * k, re * cos[k] - im * sin[k]);
    store(out + 2 * k + 1, re * sin[k] + im * cos[k]);
  }
}

// One token: `heads` heads of `dim`.
QWEN_VECTOR_CLONES void norm_rope_token(float* out, const float* x, const float* weight,
                                        const float* cos, const float* sin, int64_t heads,
                                        int64_t dim, float eps) {
  for (int64_t h = 0; h < heads; ++h) {
    norm_rope_head(out + h * dim, x + h * dim, weight, cos, sin, dim, eps);
  }
}

QWEN_VECTOR_CLONES void norm_rope_token(BFloat16Bits* out, const BFloat16Bits* x,
                                        const BFloat16Bits* weight, const float* cos,
                                        const float* sin, int64_t heads, int64_t dim, float eps) {
  for (int64_t h = 0; h < heads; ++h) {
    norm_rope_head(out + h * dim, x + h * dim, weight, cos, sin, dim, eps);
  }
}

void composed(at::Tensor& out, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& cos,
              const at::Tensor& sin, double eps) {
  const at::Tensor normed = rms_norm(x.view(out.sizes()), weight, eps).to(at::kFloat);
  // [B, S, H, D] → [B, S, H, D / 2, 2]
  const at::Tensor pairs = normed.unflatten(-1, {-1, 2});
  const at::Tensor re = pairs.select(-1, 0);
  const at::Tensor im = pairs.select(-1, 1);
  const at::Tensor c = cos.unsqueeze(1);  // [S, 1, D / 2]
  const at::Tensor s = sin.unsqueeze(1);
  out.copy_(at::stack({re * c - im * s, re * s + im * c}, -1).flatten(-2));
}

}  // namespace

void head_norm_rope_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& cos, const at::Tensor& sin, double eps) {
  if (!has_cpu_loop(x)) {
    composed(out, x, weight, cos, sin, eps);
    return;
  }
  const int64_t batch = out.size(0), seq = out.size(1), heads = out.size(2), dim = out.size(3);
  TORCH_CHECK(out.stride(3) == 1 && out.stride(2) == dim, "heads of the output must be dense");
  TORCH_CHECK(
      cos.size(0) == seq && cos.size(1) == dim / 2 && cos.is_contiguous() && sin.is_contiguous(),
      "rotary table does not fit the tokens");
  const at::Tensor input = x.contiguous();
  dispatch_dtype(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* in = data_of<T>(input);
    T* result = mutable_data_of<T>(out);
    at::parallel_for(0, batch * seq, grain_rows(heads * dim), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t b = row / seq, s = row % seq;
        norm_rope_token(result + b * out.stride(0) + s * out.stride(1), in + row * heads * dim,
                        data_of<T>(weight), cos.const_data_ptr<float>() + s * dim / 2,
                        sin.const_data_ptr<float>() + s * dim / 2, heads, dim,
                        static_cast<float>(eps));
      }
    });
  });
}

}  // namespace qwen::ops
