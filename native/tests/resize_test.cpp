#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pipeline/image.h"
#include "tests/golden.h"

namespace qwen::pipeline {
namespace {

TEST(Resize, EqualsPillowBitForBit) {
  const golden::Recording recording("resize");
  int cases = 0;
  for (; recording.has("resize." + std::to_string(cases) + ".input"); ++cases) {
    const std::string key = "resize." + std::to_string(cases);
    const RawImage expected = recording.image(key + ".output");
    const RawImage ours =
        resize_lanczos(recording.image(key + ".input"), expected.width, expected.height);
    EXPECT_EQ(ours.data, expected.data) << key;
  }
  EXPECT_GE(cases, 8);
}

TEST(Resize, PixelsCrossTheTensorAndComeBack) {
  RawImage image{16, 16, 3, std::vector<uint8_t>(16 * 16 * 3)};
  for (size_t i = 0; i < image.data.size(); ++i) image.data[i] = static_cast<uint8_t>(i);
  const at::Tensor tensor = to_tensor(image);
  EXPECT_EQ(tensor.sizes(), at::IntArrayRef({1, 3, 16, 16}));
  EXPECT_FLOAT_EQ(tensor.min().item<float>(), -1.0f);
  EXPECT_FLOAT_EQ(tensor.max().item<float>(), 1.0f);
  EXPECT_EQ(to_raw_image(tensor).data, image.data);
}

}  // namespace
}  // namespace qwen::pipeline
