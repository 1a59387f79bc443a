#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "layers/feed_forward.h"
#include "layers/linear.h"
#include "models/qwen_image/config.h"
#include "models/qwen_image/rope.h"
#include "weights/weights.h"

namespace qwen::models::qwen_image {

// The two token streams. Branches (with guidance: the prompt's and the negative prompt's) share
// weights, timestep and picture size and differ in their text, so the text of all branches lies in
// one sequence.
struct Streams {
  at::Tensor img;  // [branches, S, D]
  at::Tensor txt;  // [1, sum of text lengths, D]
};

// What every block needs beside the streams.
struct JointLayout {
  std::vector<int64_t> txt_lengths;  // one a branch
  RopeTable img_rope;
  std::vector<RopeTable> txt_rope;  // one a branch
};

// Joint attention of both streams, text first. model-spec 6.6
class JointAttention final {
 public:
  JointAttention(const weights::Weights& w, const Config& config);
  // Same shapes as the streams; `txt` of the result is undefined when `want_txt` is false.
  Streams operator()(const Streams& x, const JointLayout& layout, bool want_txt) const;

 private:
  const int64_t heads_, head_dim_;
  layers::Linear to_q_, to_k_, to_v_, add_q_proj_, add_k_proj_, add_v_proj_, to_out_0_, to_add_out_;
  at::Tensor norm_q_, norm_k_, norm_added_q_, norm_added_k_;  // [head_dim]
};

// Shift, scale and gate of both halves of a block: rows of [6 * D].
struct BlockModulation {
  at::Tensor img, txt;
};

class TransformerBlock final {
 public:
  TransformerBlock(const weights::Weights& w, const Config& config);
  // silu_temb [N, D] → rows [N, 6 * D] for each stream
  BlockModulation modulate(const at::Tensor& silu_temb) const;
  // Updates the streams in place. `last`: nobody reads the text stream any more, its own updates
  // are left out.
  void operator()(Streams& x, const BlockModulation& modulation, const JointLayout& layout,
                  bool last) const;

 private:
  layers::Linear img_mod_, txt_mod_;
  JointAttention attn_;
  layers::FeedForward img_mlp_, txt_mlp_;
};

}  // namespace qwen::models::qwen_image
