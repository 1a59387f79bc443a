#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

namespace qwen::models::qwen_image {

// A picture's place in the token sequence: frames x rows x columns of tokens (a token is 2 x 2
// latent cells).
struct TokenGrid {
  int64_t frames, rows, columns;
  int64_t tokens() const { return frames * rows * columns; }
};

// Rotation of the query and key channels: float32 [tokens, head_dim / 2] each.
struct RopeTable {
  at::Tensor cos, sin;
};

// Rotary positions on three axes (frame, row, column), each picture centred on the origin; text
// continues on all axes after the largest half side. Angles are float32, computed on the CPU.
class Rope final {
 public:
  explicit Rope(std::array<int64_t, 3> axes_dims);

  // Tokens of the pictures in order; picture k stands at frame k.
  RopeTable image(const std::vector<TokenGrid>& grids, at::Device device) const;
  RopeTable text(int64_t length, const std::vector<TokenGrid>& grids, at::Device device) const;

 private:
  // positions: int64 [3][tokens]
  RopeTable table(const std::array<at::Tensor, 3>& positions, at::Device device) const;

  std::array<at::Tensor, 3> frequencies_;  // float32 [axis_dim / 2]
};

}  // namespace qwen::models::qwen_image
