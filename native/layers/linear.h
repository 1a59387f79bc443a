#pragma once

#include <ATen/core/Tensor.h>

#include "weights/weights.h"

namespace qwen::layers {

// y = x W^T + b. The one place where other weight formats and low-rank side paths enter.
class Linear final {
 public:
  enum class Bias { Yes, No };
  // Takes `weight` [out, in] and, with Bias::Yes, `bias` [out] from the scope.
  Linear(const weights::Weights& w, int64_t in, int64_t out, Bias bias = Bias::Yes);
  at::Tensor operator()(const at::Tensor& x) const;  // [..., in] → [..., out]

 private:
  at::Tensor weight_;
  at::Tensor bias_;
};

}  // namespace qwen::layers
