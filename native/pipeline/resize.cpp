#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "pipeline/headroom.h"
#include "pipeline/image.h"

namespace qwen::pipeline {
namespace {

// Weights are integers of this precision: 32 bits less 8 of the pixel and 2 for overshoot.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr double kLanczosSupport = 3.0;

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) {
  return -kLanczosSupport <= x && x < kLanczosSupport ? sinc(x) * sinc(x / 3) : 0.0;
}

// For each output position: the first input position and the weights from there on.
struct Kernel {
  std::vector<int64_t> first;
  std::vector<std::vector<int32_t>> weights;
};

Kernel make_kernel(int64_t in_size, int64_t out_size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = kLanczosSupport * filter_scale;
  Kernel kernel;
  for (int64_t out = 0; out < out_size; ++out) {
    const double center = (static_cast<double>(out) + 0.5) * scale;
    const auto first = static_cast<int64_t>(std::max(0.0, center - support + 0.5));
    const auto end = std::min(in_size, static_cast<int64_t>(center + support + 0.5));
    std::vector<double> weights;
    double sum = 0.0;
    for (int64_t in = first; in < end; ++in) {
      weights.push_back(lanczos((static_cast<double>(in) - center + 0.5) * (1.0 / filter_scale)));
      sum += weights.back();
    }
    std::vector<int32_t> fixed;
    for (double weight : weights) {
      if (sum != 0.0) weight /= sum;
      const double scaled = weight * (1 << kPrecisionBits);
      fixed.push_back(static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
    }
    kernel.first.push_back(first);
    kernel.weights.push_back(std::move(fixed));
  }
  return kernel;
}

uint8_t clip8(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

// Filters along one axis. `stride` steps along it, `lines` lists the offset of each line's first
// value.
void filter(const std::vector<uint8_t>& in, std::vector<uint8_t>& out, const Kernel& kernel,
            int64_t in_stride, int64_t out_stride,
            const std::vector<std::pair<int64_t, int64_t>>& lines) {
  constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
  for (const auto& [in_begin, out_begin] : lines) {
    for (size_t position = 0; position < kernel.first.size(); ++position) {
      int32_t sum = kHalf;
      const auto& weights = kernel.weights[position];
      const uint8_t* value = in.data() + in_begin + kernel.first[position] * in_stride;
      for (size_t i = 0; i < weights.size(); ++i)
        sum += value[static_cast<int64_t>(i) * in_stride] * weights[i];
      out[out_begin + static_cast<int64_t>(position) * out_stride] = clip8(sum);
    }
  }
}

// Each channel of each row is a line.
RawImage resize_width(const RawImage& image, int64_t width) {
  const int64_t channels = image.channels;
  RawImage out = make_raw_image(width, image.height, channels);
  std::vector<std::pair<int64_t, int64_t>> lines;
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t c = 0; c < channels; ++c) {
      lines.emplace_back(y * image.width * channels + c, y * width * channels + c);
    }
  }
  filter(image.data, out.data, make_kernel(image.width, width), channels, channels, lines);
  return out;
}

// Each channel of each column is a line.
RawImage resize_height(const RawImage& image, int64_t height) {
  const int64_t stride = image.width * image.channels;
  RawImage out = make_raw_image(image.width, height, image.channels);
  std::vector<std::pair<int64_t, int64_t>> lines;
  for (int64_t column = 0; column < stride; ++column) lines.emplace_back(column, column);
  filter(image.data, out.data, make_kernel(image.height, height), stride, stride, lines);
  return out;
}

// The order of the passes shows in the rounding. Pillow 13 starts with the columns when that
// shrinks the picture enough; the rule was found by comparing both orders over a grid of sizes.
// Earlier releases start with the rows.
bool columns_first(const RawImage& image, int64_t width, int64_t height) {
  return height < image.height && 2 * (image.width - width) < image.height - height;
}

}  // namespace

RawImage resize_lanczos(const RawImage& image, int64_t width, int64_t height) {
  if (height == image.height) return width == image.width ? image : resize_width(image, width);
  if (width == image.width) return resize_height(image, height);
  if (columns_first(image, width, height)) return resize_width(resize_height(image, height), width);
  return resize_height(resize_width(image, width), height);
}

}  // namespace qwen::pipeline
