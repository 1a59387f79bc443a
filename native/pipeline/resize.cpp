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

// Weights that are there at a time: all of them would take more than a long and thin picture.
constexpr size_t kBlockWeights = 4096;

// Weights of one output position, for the input positions from `first` on.
struct Window {
  int64_t first;
  std::vector<int32_t> weights;
};

Window window_at(int64_t position, int64_t in_size, int64_t out_size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = kLanczosSupport * filter_scale;
  const double center = (static_cast<double>(position) + 0.5) * scale;
  const auto first = static_cast<int64_t>(std::max(0.0, center - support + 0.5));
  const auto end = std::min(in_size, static_cast<int64_t>(center + support + 0.5));
  std::vector<double> weights(static_cast<size_t>(end - first));
  double sum = 0.0;
  for (int64_t in = first; in < end; ++in) {
    double& weight = weights[static_cast<size_t>(in - first)];
    weight = lanczos((static_cast<double>(in) - center + 0.5) * (1.0 / filter_scale));
    sum += weight;
  }
  Window window{.first = first, .weights = {}};
  window.weights.reserve(weights.size());
  for (double weight : weights) {
    if (sum != 0.0) weight /= sum;
    const double scaled = weight * (1 << kPrecisionBits);
    window.weights.push_back(static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  return window;
}

uint8_t clip8(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

// Lines that lie side by side, in groups: `groups` x `lines` of them.
struct Lines {
  int64_t groups, lines;
  int64_t in_group, out_group;  // from one group's first value to the next one's
};

// One position of a line and all lines beside it. `from` and `to` are the first line's values.
void filter_at(const Window& window, const uint8_t* from, uint8_t* to, int64_t stride,
               int64_t lines) {
  constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
  for (int64_t line = 0; line < lines; ++line) {
    int32_t sum = kHalf;
    const uint8_t* value = from + line;
    for (const int32_t weight : window.weights) {
      sum += *value * weight;
      value += stride;
    }
    to[line] = clip8(sum);
  }
}

// Filters along one axis of `in_size` values that lie `stride` apart.
void filter(const RawImage& in, RawImage& out, int64_t in_size, int64_t out_size, int64_t stride,
            const Lines& lines) {
  for (int64_t begin = 0; begin < out_size;) {
    std::vector<Window> block;
    for (size_t weights = 0; weights < kBlockWeights;) {
      block.push_back(window_at(begin + static_cast<int64_t>(block.size()), in_size, out_size));
      weights += block.back().weights.size();
      if (begin + static_cast<int64_t>(block.size()) == out_size) break;
    }
    for (int64_t group = 0; group < lines.groups; ++group) {
      const uint8_t* from = in.data.data() + group * lines.in_group;
      uint8_t* to = out.data.data() + group * lines.out_group + begin * stride;
      for (const Window& window : block) {
        filter_at(window, from + window.first * stride, to, stride, lines.lines);
        to += stride;
      }
    }
    begin += static_cast<int64_t>(block.size());
  }
}

// Each channel of each row is a line.
RawImage resize_width(const RawImage& image, int64_t width) {
  const int64_t channels = image.channels;
  RawImage out = make_raw_image(width, image.height, channels);
  filter(image, out, image.width, width, channels,
         {.groups = image.height,
          .lines = channels,
          .in_group = image.width * channels,
          .out_group = width * channels});
  return out;
}

// Each channel of each column is a line.
RawImage resize_height(const RawImage& image, int64_t height) {
  const int64_t stride = image.width * image.channels;
  RawImage out = make_raw_image(image.width, height, image.channels);
  filter(image, out, image.height, height, stride,
         {.groups = 1, .lines = stride, .in_group = 0, .out_group = 0});
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
