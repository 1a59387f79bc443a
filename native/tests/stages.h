#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "tests/golden.h"

namespace qwen::golden {

struct StageError {
  std::string stage;  // name of the golden tensor
  double error;       // relative_error against it
};

struct RunMatch {
  std::string run;  // t2i, t2i_plain, i2i, i2i_plain, bf16.t2i
  PictureMatch picture;
};

struct Measurement {
  std::vector<StageError> stages;
  std::vector<RunMatch> pictures;
};

// Runs every recorded stage of a tiny checkpoint on `device` in `dtype` (float32: the recordings
// without prefix, bfloat16: those with `bf16.`), each from recorded inputs, and whole pictures from
// token ids.
Measurement measure(const std::string& checkpoint, at::Device device, at::ScalarType dtype);

}  // namespace qwen::golden
