#pragma once

#include <algorithm>
#include <optional>

#include "models/qwen_image/transformer.h"

namespace qwen::pipeline {

// The transformer's modulation of a schedule, a window of steps at a time: reading the weights once
// a window costs little, and rows of all steps would grow without bound (the released model's
// take 4.4 MB a step in bfloat16).
class ModulationWindow final {
 public:
  // timesteps [N] in 0..1, in the model's dtype
  static constexpr int64_t kSteps = 64;  // 50 steps, the released models' default, are one window

  explicit ModulationWindow(at::Tensor timesteps) : timesteps_(std::move(timesteps)) {}

  // The window that holds `step`; its row is row_of(step). Valid until the next call.
  const models::qwen_image::ScheduleModulation& of(
      int64_t step, const models::qwen_image::Transformer& transformer) {
    const int64_t begin = step / kSteps * kSteps;
    if (!rows_ || begin != begin_) {
      rows_.reset();  // before the next window is made, so that only one is held
      const int64_t length = std::min(kSteps, timesteps_.size(0) - begin);
      rows_ = transformer.modulate(timesteps_.narrow(0, begin, length));
      begin_ = begin;
    }
    return *rows_;
  }
  static int64_t row_of(int64_t step) { return step % kSteps; }

 private:
  const at::Tensor timesteps_;
  int64_t begin_ = 0;
  std::optional<models::qwen_image::ScheduleModulation> rows_;
};

}  // namespace qwen::pipeline
