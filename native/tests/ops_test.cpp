#include "ops/ops.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pipeline/latents.h"

// The CPU's fused loops against the same arithmetic in ATen operators, in float64.
namespace qwen::ops {
namespace {

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, pipeline::NoiseSource(seed).generator(), at::TensorOptions(at::kFloat));
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).abs().max() / b.to(at::kDouble).abs().max())
      .item<double>();
}

struct Case {
  at::ScalarType dtype;
  double tolerance;  // float32: a few roundings of 6e-8 each over a sum; bfloat16: three roundings
                     // of 2^-8 each
};
class Ops : public testing::TestWithParam<Case> {};

TEST_P(Ops, RmsNorm) {
  for (const int64_t dim : {1, 7, 64, 131}) {
    const at::Tensor x = random({5, dim}, 1).to(GetParam().dtype);
    const at::Tensor weight = random({dim}, 2).to(GetParam().dtype);
    const at::Tensor x64 = x.to(at::kDouble);
    const at::Tensor expected =
        x64 * at::rsqrt(x64.pow(2).mean(-1, true) + 1e-6) * weight.to(at::kDouble);
    EXPECT_LT(distance(rms_norm(x, weight, 1e-6), expected), GetParam().tolerance);
  }
}

TEST_P(Ops, LayerNormModulate) {
  for (const int64_t dim : {24, 192, 513}) {
    const at::Tensor x = (random({2, 9, dim}, 3) * 3 + 1).to(GetParam().dtype);
    const at::Tensor shift = random({dim}, 4).to(GetParam().dtype),
                     scale = random({dim}, 5).to(GetParam().dtype);
    const at::Tensor normed = at::layer_norm(x.to(at::kDouble), {dim}, {}, {}, 1e-6);
    const at::Tensor expected = normed * (1 + scale.to(at::kDouble)) + shift.to(at::kDouble);
    EXPECT_LT(distance(layer_norm_modulate(x, shift, scale, 1e-6), expected), GetParam().tolerance);
  }
}

TEST_P(Ops, AddGated) {
  const at::Tensor x = random({2, 9, 40}, 6).to(GetParam().dtype),
                   y = random({2, 9, 40}, 7).to(GetParam().dtype);
  const at::Tensor gate = random({40}, 8).to(GetParam().dtype);
  const at::Tensor expected = x.to(at::kDouble) + gate.to(at::kDouble) * y.to(at::kDouble);
  at::Tensor updated = x.clone();
  add_gated_(updated, gate, y);
  EXPECT_LT(distance(updated, expected), GetParam().tolerance);
}

TEST_P(Ops, HeadNormRope) {
  const int64_t seq = 11, heads = 3, dim = 20;
  const at::Tensor x = random({1, seq, heads * dim}, 9).to(GetParam().dtype);
  const at::Tensor weight = random({dim}, 10).to(GetParam().dtype);
  const at::Tensor angle = random({seq, dim / 2}, 11) * 10;
  // A strided target: the rows of one stream inside the joint sequence.
  at::Tensor joint = at::full({1, seq + 4, heads, dim}, 7.0, x.options());
  head_norm_rope_into(joint.narrow(1, 4, seq), x, weight, angle.cos(), angle.sin(), 1e-6);

  const at::Tensor x64 = x.view({1, seq, heads, dim}).to(at::kDouble);
  const at::Tensor normed =
      x64 * at::rsqrt(x64.pow(2).mean(-1, true) + 1e-6) * weight.to(at::kDouble);
  const at::Tensor rotation =
      at::polar(at::ones({seq, 1, dim / 2}, at::kDouble), angle.to(at::kDouble).unsqueeze(1));
  const at::Tensor expected =
      at::view_as_real(at::view_as_complex(normed.unflatten(-1, {-1, 2}).contiguous()) * rotation)
          .flatten(-2);
  EXPECT_LT(distance(joint.narrow(1, 4, seq), expected), GetParam().tolerance);
  EXPECT_TRUE(joint.narrow(1, 0, 4).eq(7).all().item<bool>());
}

TEST_P(Ops, ChannelNorm) {
  for (const bool silu : {false, true}) {
    const at::Tensor x =
        random({2, 12, 5, 7}, 12).to(GetParam().dtype).contiguous(at::MemoryFormat::ChannelsLast);
    x.select(2, 0).zero_();  // a zero pixel must stay zero, not become NaN
    const at::Tensor gamma = random({12}, 13).to(GetParam().dtype);
    const at::Tensor x64 = x.to(at::kDouble);
    const at::Tensor length = x64.pow(2).sum(1, true).sqrt().clamp_min(1e-12);
    at::Tensor expected =
        x64 / length * std::sqrt(12.0) * gamma.to(at::kDouble).view({1, 12, 1, 1});
    if (silu) expected = at::silu(expected);
    EXPECT_LT(distance(channel_norm(x, gamma, silu), expected), GetParam().tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Ops,
                         testing::Values(Case{at::kFloat, 1e-6}, Case{at::kBFloat16, 1.2e-2}),
                         [](const auto& info) {
                           return info.param.dtype == at::kFloat ? "float32" : "bfloat16";
                         });

TEST(Attention, AgreesWithTheWholeScoreMatrix) {
  for (const int64_t dim : {8, 20, 384}) {
    const at::Tensor q = random({1, 2, 50, dim}, 14), k = random({1, 2, 50, dim}, 15),
                     v = random({1, 2, 50, dim}, 16);
    const at::Tensor scores =
        at::matmul(q.to(at::kDouble), k.to(at::kDouble).transpose(-2, -1)) / std::sqrt(dim);
    const at::Tensor expected = at::matmul(at::softmax(scores, -1), v.to(at::kDouble));
    EXPECT_LT(distance(attention(q, k, v), expected), 2e-6);
    for (const int64_t rows : {1, 7, 50, 64}) {
      EXPECT_LT(distance(chunked_attention(q, k, v, rows), expected), 2e-6) << rows;
    }
  }
}

// bfloat16 rounds the result, 2^-8, and nothing before it: also where scores are large.
TEST(Attention, ChunksKeepScoresInFloat32) {
  const auto input = [](uint64_t seed) {
    return (random({1, 1, 50, 20}, seed) * 4).to(at::kBFloat16);
  };
  const at::Tensor q = input(20), k = input(21), v = input(22);
  const at::Tensor expected =
      chunked_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), 50);
  EXPECT_LT(distance(chunked_attention(q, k, v, 7), expected), 4e-3);
}

TEST(Attention, SharesKeyHeadsAndLooksOnlyBack) {
  const at::Tensor q = random({1, 4, 9, 8}, 17), k = random({1, 2, 9, 8}, 18),
                   v = random({1, 2, 9, 8}, 19);
  const at::Tensor out = causal_attention(q, k, v);
  const at::Tensor mask = at::ones({9, 9}, at::kBool).tril().logical_not();
  for (int64_t head = 0; head < 4; ++head) {
    const auto row = [](const at::Tensor& t, int64_t h) {
      return t.select(1, h).squeeze(0).to(at::kDouble);
    };
    const at::Tensor scores = (at::matmul(row(q, head), row(k, head / 2).t()) / std::sqrt(8.0))
                                  .masked_fill(mask, -std::numeric_limits<double>::infinity());
    EXPECT_LT(distance(row(out, head), at::matmul(at::softmax(scores, -1), row(v, head / 2))), 2e-6)
        << head;
  }
}

}  // namespace
}  // namespace qwen::ops
