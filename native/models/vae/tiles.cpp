#include "models/vae/tiles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace qwen::models::vae {
namespace {

// Fades from the end of `a` into the start of `b` along `axis`, in b.
void blend(const at::Tensor& a, at::Tensor& b, int64_t axis, int64_t overlap) {
  const int64_t extent = std::min({a.size(axis), b.size(axis), overlap});
  if (extent <= 0) return;
  std::vector<int64_t> shape(b.dim(), 1);
  shape[axis] = extent;
  // Weights are computed in double and multiplied as float32; each product is rounded to the tile's
  // dtype.
  const at::Tensor rise = at::arange(extent, at::kDouble).div(extent).view(shape);
  const auto weigh = [&](const at::Tensor& t, const at::Tensor& weight) {
    const at::Tensor weight32 = weight.to(at::kFloat).to(t.device());
    return (t.to(at::kFloat) * weight32).to(t.scalar_type());
  };
  const at::Tensor from = a.narrow(axis, a.size(axis) - extent, extent);
  at::Tensor to = b.narrow(axis, 0, extent);
  to.copy_(weigh(from, 1 - rise) + weigh(to, rise));
}

}  // namespace

at::Tensor run_tiled(const at::Tensor& x, const TilePlan& plan,
                     const std::function<at::Tensor(const at::Tensor&)>& pass) {
  const int64_t height = x.size(2), width = x.size(3);
  const int64_t overlap = plan.tile_out - plan.stride_out;
  std::vector<at::Tensor> above;  // the blended tiles of the row above
  std::vector<at::Tensor> rows;
  for (int64_t top = 0; top < height; top += plan.stride_in) {
    std::vector<at::Tensor> row, kept;
    for (int64_t left = 0; left < width; left += plan.stride_in) {
      const at::Tensor piece = x.narrow(2, top, std::min(plan.tile_in, height - top))
                                   .narrow(3, left, std::min(plan.tile_in, width - left));
      row.push_back(pass(piece));
      at::Tensor& tile = row.back();
      if (!above.empty()) blend(above[row.size() - 1], tile, 2, overlap);
      if (row.size() > 1) blend(row[row.size() - 2], tile, 3, overlap);
      kept.push_back(tile.narrow(2, 0, std::min(plan.stride_out, tile.size(2)))
                         .narrow(3, 0, std::min(plan.stride_out, tile.size(3))));
    }
    rows.push_back(at::cat(kept, 3));
    above = std::move(row);
  }
  return at::cat(rows, 2).narrow(2, 0, plan.height_out).narrow(3, 0, plan.width_out);
}

}  // namespace qwen::models::vae
