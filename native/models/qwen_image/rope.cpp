#include "models/qwen_image/rope.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace qwen::models::qwen_image {
namespace {

constexpr double kTheta = 10000.0;

// -ceil(size / 2) .. floor(size / 2) - 1
at::Tensor centred(int64_t size) { return at::arange(size, at::kLong) - (size - size / 2); }

}  // namespace

Rope::Rope(std::array<int64_t, 3> axes_dims) {
  for (size_t axis = 0; axis < axes_dims.size(); ++axis) {
    const int64_t dim = axes_dims[axis];
    const at::Tensor exponent = at::arange(0, dim, 2, at::kLong).to(at::kFloat).div(dim);
    frequencies_[axis] = at::reciprocal(at::pow(kTheta, exponent));
  }
}

RopeTable Rope::table(const std::array<at::Tensor, 3>& positions, at::Device device) const {
  std::vector<at::Tensor> angles;
  for (size_t axis = 0; axis < positions.size(); ++axis) {
    angles.push_back(at::outer(positions[axis].to(at::kFloat), frequencies_[axis]));
  }
  const at::Tensor angle = at::cat(angles, 1);  // [tokens, head_dim / 2]
  return {at::cos(angle).to(device), at::sin(angle).to(device)};
}

RopeTable Rope::image(const std::vector<TokenGrid>& grids, at::Device device) const {
  std::array<std::vector<at::Tensor>, 3> parts;
  for (size_t k = 0; k < grids.size(); ++k) {
    const auto [frames, rows, columns] = grids[k];
    const std::array<int64_t, 3> shape = {frames, rows, columns};
    const at::Tensor frame = at::arange(frames, at::kLong) + static_cast<int64_t>(k);
    parts[0].push_back(frame.view({-1, 1, 1}).expand(shape).reshape(-1));
    parts[1].push_back(centred(rows).view({1, -1, 1}).expand(shape).reshape(-1));
    parts[2].push_back(centred(columns).view({1, 1, -1}).expand(shape).reshape(-1));
  }
  return table({at::cat(parts[0]), at::cat(parts[1]), at::cat(parts[2])}, device);
}

RopeTable Rope::text(int64_t length, const std::vector<TokenGrid>& grids, at::Device device) const {
  int64_t start = 0;
  for (const TokenGrid& grid : grids) start = std::max({start, grid.rows / 2, grid.columns / 2});
  const at::Tensor positions = at::arange(start, start + length, at::kLong);
  return table({positions, positions, positions}, device);
}

}  // namespace qwen::models::qwen_image
