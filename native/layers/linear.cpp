#include "layers/linear.h"

#include <ATen/ops/linear.h>

namespace qwen::layers {

Linear::Linear(const weights::Weights& w, int64_t in, int64_t out, Bias bias)
    : weight_(w.get("weight", {out, in})) {
  if (bias == Bias::Yes) bias_ = w.get("bias", {out});
}

at::Tensor Linear::operator()(const at::Tensor& x) const { return at::linear(x, weight_, bias_); }

}  // namespace qwen::layers
