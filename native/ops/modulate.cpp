#include <ATen/ATen.h>

#include <cmath>

#include "ops/cpu_loops.h"
#include "ops/ops.h"

namespace qwen::ops {
namespace {

template <typename T>
QWEN_IN_CLONES void layer_norm_modulate_row(T* out, const T* x, const T* shift, const T* scale,
                                            int64_t dim, float eps) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < dim; ++i) sum += load(x + i);
  const float mean = sum / static_cast<float>(dim);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < dim; ++i) {
    const float centred = load(x + i) - mean;
    squares += centred * centred;
  }
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(dim) + eps);
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) {
    const float normed = round_to((load(x + i) - mean) * inverse, x);
    const float factor = round_to(1.0f + load(scale + i), x);
    store(out + i, round_to(normed * factor, x) + load(shift + i));
  }
}

template <typename T>
QWEN_IN_CLONES void add_gated_row(T* x, const T* gate, const T* y, int64_t dim) {
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) {
    const float gated = round_to(load(gate + i) * load(y + i), x);
    store(x + i, load(x + i) + gated);
  }
}

QWEN_VECTOR_CLONES void layer_norm_modulate_rows(float* out, const float* x, const float* shift,
                                                 const float* scale, int64_t rows, int64_t dim,
                                                 float eps) {
  for (int64_t r = 0; r < rows; ++r) {
    layer_norm_modulate_row(out + r * dim, x + r * dim, shift, scale, dim, eps);
  }
}

QWEN_VECTOR_CLONES void layer_norm_modulate_rows(BFloat16Bits* out, const BFloat16Bits* x,
                                                 const BFloat16Bits* shift,
                                                 const BFloat16Bits* scale, int64_t rows,
                                                 int64_t dim, float eps) {
  for (int64_t r = 0; r < rows; ++r) {
    layer_norm_modulate_row(out + r * dim, x + r * dim, shift, scale, dim, eps);
  }
}

QWEN_VECTOR_CLONES void add_gated_rows(float* x, const float* gate, const float* y, int64_t rows,
                                       int64_t dim) {
  for (int64_t r = 0; r < rows; ++r) add_gated_row(x + r * dim, gate, y + r * dim, dim);
}

QWEN_VECTOR_CLONES void add_gated_rows(BFloat16Bits* x, const BFloat16Bits* gate,
                                       const BFloat16Bits* y, int64_t rows, int64_t dim) {
  for (int64_t r = 0; r < rows; ++r) add_gated_row(x + r * dim, gate, y + r * dim, dim);
}

}  // namespace

at::Tensor layer_norm_modulate(const at::Tensor& x, const at::Tensor& shift,
                               const at::Tensor& scale, double eps) {
  const int64_t dim = x.size(-1);
  if (!has_cpu_loop(x)) return at::layer_norm(x, {dim}, {}, {}, eps) * (1 + scale) + shift;
  const at::Tensor input = x.contiguous();
  const at::Tensor shift_row = shift.contiguous();
  const at::Tensor scale_row = scale.contiguous();
  at::Tensor out = at::empty_like(input);
  dispatch_dtype(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    at::parallel_for(0, input.numel() / dim, grain_rows(dim), [&](int64_t begin, int64_t end) {
      layer_norm_modulate_rows(mutable_data_of<T>(out) + begin * dim,
                               data_of<T>(input) + begin * dim, data_of<T>(shift_row),
                               data_of<T>(scale_row), end - begin, dim, static_cast<float>(eps));
    });
  });
  return out;
}

void add_gated_(at::Tensor& x, const at::Tensor& gate, const at::Tensor& y) {
  if (!has_cpu_loop(x)) {
    x.add_(gate * y);
    return;
  }
  TORCH_CHECK(x.is_contiguous(), "add_gated_ works on contiguous tensors");
  const int64_t dim = x.size(-1);
  const at::Tensor gate_row = gate.contiguous();
  const at::Tensor update = y.contiguous();
  dispatch_dtype(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    at::parallel_for(0, x.numel() / dim, grain_rows(dim), [&](int64_t begin, int64_t end) {
      add_gated_rows(mutable_data_of<T>(x) + begin * dim, data_of<T>(gate_row),
                     data_of<T>(update) + begin * dim, end - begin, dim);
    });
  });
}

}  // namespace qwen::ops
