#include <ATen/ATen.h>

#include <cmath>

#include "ops/ops.h"

namespace qwen::ops {
namespace {

// Bytes of scores that one chunk of queries may take on the path without a fused kernel.
constexpr int64_t kScoreBytes = 256 << 20;
// Flash and cuDNN kernels refuse larger heads; SDPA's way out would be to hold every score.
constexpr int64_t kMaxFusedHeadDim = 256;

}  // namespace

at::Tensor chunked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             int64_t rows) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  // float32 throughout, as inside the fused kernels: scores rounded to bfloat16 are off by tenths.
  const at::Tensor k_t = k.to(at::kFloat).transpose(-2, -1);
  const at::Tensor v32 = v.to(at::kFloat);
  at::Tensor out = at::empty_like(q);
  for (int64_t begin = 0; begin < q.size(2); begin += rows) {
    const int64_t length = std::min(rows, q.size(2) - begin);
    // [B, H, rows, D] x [B, H, D, S] → [B, H, rows, S]
    const at::Tensor scores = at::matmul(q.narrow(2, begin, length).to(at::kFloat) * scale, k_t);
    out.narrow(2, begin, length).copy_(at::matmul(at::softmax(scores, -1), v32));
  }
  return out;
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  // The CPU's flash kernel takes every head size.
  if (q.device().is_cpu() || (q.size(-1) <= kMaxFusedHeadDim && q.size(-1) % 8 == 0)) {
    return at::scaled_dot_product_attention(q, k, v);
  }
  const int64_t row_bytes = q.size(0) * q.size(1) * k.size(2) * static_cast<int64_t>(sizeof(float));
  return chunked_attention(q, k, v, std::max<int64_t>(1, kScoreBytes / row_bytes));
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t group = q.size(1) / k.size(1);
  const at::Tensor keys = group == 1 ? k : k.repeat_interleave(group, 1);
  const at::Tensor values = group == 1 ? v : v.repeat_interleave(group, 1);
  return at::scaled_dot_product_attention(q, keys, values, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                          /*is_causal=*/true);
}

}  // namespace qwen::ops
