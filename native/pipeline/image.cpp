#include "pipeline/image.h"

#include <ATen/ATen.h>

#include <cstring>

#include "pipeline/headroom.h"

namespace qwen::pipeline {

at::Tensor to_tensor(const RawImage& image) {
  const at::Tensor bytes = at::from_blob(const_cast<uint8_t*>(image.data.data()),
                                         {image.height, image.width, image.channels}, at::kByte);
  const at::Tensor unit = bytes.to(at::kFloat).div_(255.0);
  // [H, W, 3] → [1, 3, H, W]
  return (2.0 * unit - 1.0).permute({2, 0, 1}).unsqueeze(0);
}

RawImage to_raw_image(const at::Tensor& image) {
  const at::Tensor unit = (image * 0.5 + 0.5).clamp_(0, 1);
  // [1, 3, H, W] → [H, W, 3]
  const at::Tensor bytes = (unit.to(at::kFloat).squeeze(0).permute({1, 2, 0}) * 255)
                               .round()
                               .to(at::TensorOptions(at::kCPU).dtype(at::kByte))
                               .contiguous();
  RawImage raw = make_raw_image(bytes.size(1), bytes.size(0), bytes.size(2));
  std::memcpy(raw.data.data(), bytes.const_data_ptr<uint8_t>(), raw.data.size());
  return raw;
}

}  // namespace qwen::pipeline
