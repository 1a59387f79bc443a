#pragma once

#include <ATen/core/Tensor.h>

#include "pipeline/request.h"

namespace qwen::pipeline {

// PIL's Image.resize(…, LANCZOS), bit for bit: two 8-bit passes with fixed-point weights, no crop.
RawImage resize_lanczos(const RawImage& image, int64_t width, int64_t height);

// RGB bytes → float32 [1, 3, H, W] in -1..1
at::Tensor to_tensor(const RawImage& image);

// Decoded image [1, 3, H, W] in -1..1 → RGB bytes. Scaled and clamped in its own dtype, rounded
// half to even.
RawImage to_raw_image(const at::Tensor& image);

}  // namespace qwen::pipeline
