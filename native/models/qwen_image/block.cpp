#include "models/qwen_image/block.h"

#include <ATen/ATen.h>

#include "ops/ops.h"

namespace qwen::models::qwen_image {
namespace {

constexpr double kEps = 1e-6;

// One half of a block's modulation, views of a row [6 * D].
struct Modulation {
  at::Tensor shift, scale, gate;  // [D]
  Modulation(const at::Tensor& row, int64_t half) {
    const int64_t dim = row.size(0) / 6;
    shift = row.narrow(0, (3 * half + 0) * dim, dim);
    scale = row.narrow(0, (3 * half + 1) * dim, dim);
    gate = row.narrow(0, (3 * half + 2) * dim, dim);
  }
  at::Tensor apply(const at::Tensor& x) const {
    return ops::layer_norm_modulate(x, shift, scale, kEps);
  }
};

}  // namespace

JointAttention::JointAttention(const weights::Weights& w, const Config& config)
    : heads_(config.num_attention_heads),
      head_dim_(config.attention_head_dim),
      to_q_(w / "to_q", config.dim(), config.dim()),
      to_k_(w / "to_k", config.dim(), config.dim()),
      to_v_(w / "to_v", config.dim(), config.dim()),
      add_q_proj_(w / "add_q_proj", config.dim(), config.dim()),
      add_k_proj_(w / "add_k_proj", config.dim(), config.dim()),
      add_v_proj_(w / "add_v_proj", config.dim(), config.dim()),
      to_out_0_(w / "to_out.0", config.dim(), config.dim()),
      to_add_out_(w / "to_add_out", config.dim(), config.dim()),
      norm_q_(w.get("norm_q.weight", {head_dim_})),
      norm_k_(w.get("norm_k.weight", {head_dim_})),
      norm_added_q_(w.get("norm_added_q.weight", {head_dim_})),
      norm_added_k_(w.get("norm_added_k.weight", {head_dim_})) {}

Streams JointAttention::operator()(const Streams& x, const JointLayout& layout,
                                   bool want_txt) const {
  const at::Tensor img_q = to_q_(x.img), img_k = to_k_(x.img), img_v = to_v_(x.img);
  const at::Tensor txt_q = add_q_proj_(x.txt), txt_k = add_k_proj_(x.txt),
                   txt_v = add_v_proj_(x.txt);
  const int64_t img_length = x.img.size(1);

  std::vector<at::Tensor> img_out, txt_out;
  int64_t txt_begin = 0;
  for (size_t branch = 0; branch < layout.txt_lengths.size(); ++branch) {
    const int64_t txt_length = layout.txt_lengths[branch];
    // [1, text + image, heads, head_dim], filled stream by stream: no concatenation
    const std::vector<int64_t> shape = {1, txt_length + img_length, heads_, head_dim_};
    at::Tensor q = at::empty(shape, x.img.options());
    at::Tensor k = at::empty(shape, x.img.options());
    at::Tensor v = at::empty(shape, x.img.options());
    const auto txt_rows = [&](const at::Tensor& t) { return t.narrow(1, txt_begin, txt_length); };
    const auto img_rows = [&](const at::Tensor& t) {
      return t.narrow(0, static_cast<int64_t>(branch), 1);
    };
    const RopeTable& txt_rope = layout.txt_rope[branch];
    const RopeTable& img_rope = layout.img_rope;
    ops::head_norm_rope_into(q.narrow(1, 0, txt_length), txt_rows(txt_q), norm_added_q_,
                             txt_rope.cos, txt_rope.sin, kEps);
    ops::head_norm_rope_into(k.narrow(1, 0, txt_length), txt_rows(txt_k), norm_added_k_,
                             txt_rope.cos, txt_rope.sin, kEps);
    ops::head_norm_rope_into(q.narrow(1, txt_length, img_length), img_rows(img_q), norm_q_,
                             img_rope.cos, img_rope.sin, kEps);
    ops::head_norm_rope_into(k.narrow(1, txt_length, img_length), img_rows(img_k), norm_k_,
                             img_rope.cos, img_rope.sin, kEps);
    v.narrow(1, 0, txt_length).copy_(txt_rows(txt_v).view({1, txt_length, heads_, head_dim_}));
    v.narrow(1, txt_length, img_length)
        .copy_(img_rows(img_v).view({1, img_length, heads_, head_dim_}));

    // [1, S, H, D] → [1, H, S, D] for the kernel and back, then [1, S, H * D]
    const at::Tensor out = ops::attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
                               .transpose(1, 2)
                               .flatten(2);
    if (want_txt) txt_out.push_back(out.narrow(1, 0, txt_length));
    img_out.push_back(out.narrow(1, txt_length, img_length));
    txt_begin += txt_length;
  }
  Streams result;
  result.img = to_out_0_(img_out.size() == 1 ? img_out[0] : at::cat(img_out, 0));
  if (want_txt) result.txt = to_add_out_(txt_out.size() == 1 ? txt_out[0] : at::cat(txt_out, 1));
  return result;
}

TransformerBlock::TransformerBlock(const weights::Weights& w, const Config& config)
    : img_mod_(w / "img_mod.1", config.dim(), 6 * config.dim()),
      txt_mod_(w / "txt_mod.1", config.dim(), 6 * config.dim()),
      attn_(w / "attn", config),
      img_mlp_(w / "img_mlp", config.dim(), 4 * config.dim()),
      txt_mlp_(w / "txt_mlp", config.dim(), 4 * config.dim()) {}

BlockModulation TransformerBlock::modulate(const at::Tensor& silu_temb) const {
  return {img_mod_(silu_temb), txt_mod_(silu_temb)};
}

void TransformerBlock::operator()(Streams& x, const BlockModulation& modulation,
                                  const JointLayout& layout, bool last) const {
  const Modulation img1(modulation.img, 0), img2(modulation.img, 1);
  const Modulation txt1(modulation.txt, 0), txt2(modulation.txt, 1);

  const Streams attended =
      attn_({img1.apply(x.img), txt1.apply(x.txt)}, layout, /*want_txt=*/!last);
  ops::add_gated_(x.img, img1.gate, attended.img);
  ops::add_gated_(x.img, img2.gate, img_mlp_(img2.apply(x.img)));
  if (last) return;
  ops::add_gated_(x.txt, txt1.gate, attended.txt);
  ops::add_gated_(x.txt, txt2.gate, txt_mlp_(txt2.apply(x.txt)));
}

}  // namespace qwen::models::qwen_image
