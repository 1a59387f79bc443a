#include "models/qwen2_5_vl/text_model.h"

#include <ATen/ATen.h>

#include "errors/error.h"
#include "ops/ops.h"

namespace qwen::models::qwen2_5_vl {
namespace {

bool starts_with(const std::string& text, std::string_view prefix) {
  return text.rfind(prefix, 0) == 0;
}

// x [heads, S, D]: q' = q * cos + rot(q) * sin with rot(q) = (-second half, first half)
at::Tensor rotate_half_split(const at::Tensor& x, const RotaryRows& rotary) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * rotary.cos + rotated * rotary.sin;
}

}  // namespace

std::string canonical_name(const std::string& stored) {
  if (starts_with(stored, "model.language_model.")) return "model." + stored.substr(21);
  if (starts_with(stored, "model.visual.")) return stored.substr(6);
  return stored;
}

bool is_unused(const std::string& name) {
  return starts_with(name, "visual.") || name == "lm_head.weight";
}

TextAttention::TextAttention(const weights::Weights& w, const TextConfig& config)
    : heads_(config.num_attention_heads),
      kv_heads_(config.num_key_value_heads),
      head_dim_(config.head_dim()),
      q_proj_(w / "q_proj", config.hidden_size, heads_ * head_dim_),
      k_proj_(w / "k_proj", config.hidden_size, kv_heads_ * head_dim_),
      v_proj_(w / "v_proj", config.hidden_size, kv_heads_ * head_dim_),
      o_proj_(w / "o_proj", heads_ * head_dim_, config.hidden_size, layers::Linear::Bias::No) {}

at::Tensor TextAttention::operator()(const at::Tensor& x, const RotaryRows& rotary) const {
  const int64_t length = x.size(0);
  // [S, H * D] → [H, S, D]
  const auto split = [&](const at::Tensor& t, int64_t heads) {
    return t.view({length, heads, head_dim_}).transpose(0, 1);
  };
  const at::Tensor q = rotate_half_split(split(q_proj_(x), heads_), rotary);
  const at::Tensor k = rotate_half_split(split(k_proj_(x), kv_heads_), rotary);
  const at::Tensor v = split(v_proj_(x), kv_heads_);
  const at::Tensor out = ops::causal_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0));
  // [1, H, S, D] → [S, H * D]
  return o_proj_(out.squeeze(0).transpose(0, 1).reshape({length, heads_ * head_dim_}));
}

TextLayer::TextLayer(const weights::Weights& w, const TextConfig& config)
    : eps_(config.rms_norm_eps),
      input_layernorm_(w.get("input_layernorm.weight", {config.hidden_size})),
      post_attention_layernorm_(w.get("post_attention_layernorm.weight", {config.hidden_size})),
      self_attn_(w / "self_attn", config),
      mlp_(w / "mlp", config.hidden_size, config.intermediate_size) {}

at::Tensor TextLayer::operator()(const at::Tensor& x, const RotaryRows& rotary) const {
  const at::Tensor attended = x + self_attn_(ops::rms_norm(x, input_layernorm_, eps_), rotary);
  return attended + mlp_(ops::rms_norm(attended, post_attention_layernorm_, eps_));
}

TextModel::TextModel(const weights::Weights& w, const TextConfig& config)
    : config_(config),
      dtype_(w.dtype()),
      device_(w.device()),
      embed_tokens_(
          (w / "model").get_stored("embed_tokens.weight", {config.vocab_size, config.hidden_size})),
      norm_((w / "model").get("norm.weight", {config.hidden_size})) {
  layers_.reserve(config.num_hidden_layers);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.emplace_back(w / "model" / "layers" / i, config);
}

RotaryRows TextModel::rotary(int64_t length) const {
  const int64_t dim = config_.head_dim();
  const at::Tensor exponent = at::arange(0, dim, 2, at::kLong).to(at::kFloat).div(dim);
  const at::Tensor frequency = at::reciprocal(at::pow(config_.rope_theta, exponent));
  // The three M-RoPE axes carry equal positions for text, so one table serves all channels.
  const at::Tensor half = at::outer(at::arange(length, at::kLong).to(at::kFloat), frequency);
  const at::Tensor angle = at::cat({half, half}, -1);
  const auto options = at::TensorOptions(device_).dtype(dtype_);
  return {at::cos(angle).to(options), at::sin(angle).to(options)};
}

at::Tensor TextModel::operator()(const std::vector<int64_t>& ids, const weights::Poll& poll) const {
  for (const int64_t id : ids) {
    if (id < 0 || id >= config_.vocab_size) {
      throw errors::EngineError(errors::ErrorCode::InvalidArgument,
                                "token id " + std::to_string(id) +
                                    " is outside the vocabulary of " +
                                    std::to_string(config_.vocab_size));
    }
  }
  const at::Tensor rows = at::tensor(ids, at::kLong);
  at::Tensor x = embed_tokens_.index_select(0, rows).to(at::TensorOptions(device_).dtype(dtype_));
  const RotaryRows table = rotary(x.size(0));
  for (const TextLayer& layer : layers_) {
    if (poll) poll();
    x = layer(x, table);
  }
  return ops::rms_norm(x, norm_, config_.rms_norm_eps);
}

}  // namespace qwen::models::qwen2_5_vl
