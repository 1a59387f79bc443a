#pragma once

#include <ATen/core/Tensor.h>

// Every kernel of the models beyond plain ATen calls. Each function has one meaning on every
// device: the CPU has fused loops, other devices compose ATen operators. Intermediate results are
// rounded to the tensors' dtype where diffusers and transformers round them, so that bfloat16 runs
// agree too.
namespace qwen::ops {

// x * rsqrt(mean(x^2) + eps), rounded to x's dtype, times weight. x [..., D], weight [D].
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

// LayerNorm without parameters, then * (1 + scale) + shift. x [B, S, D]; shift, scale [D].
at::Tensor layer_norm_modulate(const at::Tensor& x, const at::Tensor& shift,
                               const at::Tensor& scale, double eps);

// x += gate * y, in place. x, y [B, S, D], gate [D].
void add_gated_(at::Tensor& x, const at::Tensor& gate, const at::Tensor& y);

// RMS norm over each head, then rotation of adjacent pairs (2k, 2k + 1) in float32, written to
// `out`. x [B, S, H * D], weight [D], cos and sin float32 [S, D / 2], out [B, S, H, D] (last two
// dimensions dense).
void head_norm_rope_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& cos, const at::Tensor& sin, double eps);

// softmax(q k^T / sqrt(D)) v for q, k, v [B, H, S, D]. No full score matrix is held: fused kernels
// where they take the shape, else the queries go in chunks. Not causal.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

// `attention` for kernels that nothing fuses: `rows` queries at a time against all keys.
at::Tensor chunked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             int64_t rows);

// As `attention`, causal; k and v may have fewer heads, each shared by H / H_kv consecutive query
// heads.
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

// The VAE's norm over channels and, unless `silu` is false, SiLU: x / max(||x||, 1e-12) * sqrt(C) *
// gamma. x [B, C, H, W] in channels-last memory, gamma [C].
at::Tensor channel_norm(const at::Tensor& x, const at::Tensor& gamma, bool silu);

}  // namespace qwen::ops
