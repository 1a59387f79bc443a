#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qwen::pipeline {

// Noise levels of one run: sigmas has one entry more than timesteps, the last one 0.
struct Schedule {
  std::vector<float> sigmas;
  std::vector<float> timesteps;  // num_train_timesteps * sigma
};

// FlowMatchEulerDiscreteScheduler as QwenImagePipeline drives it. model-spec chapter 8
class Scheduler final {
 public:
  // From scheduler_config.json; throws EngineError(InvalidModel) for settings that are not
  // computed.
  static Scheduler read(const std::string& path);

  // 2 where the terminal shift makes a single step undefined (0 / 0), else 1.
  int64_t min_steps() const { return shift_terminal_ ? 2 : 1; }

  // `steps` from min_steps() on; `image_tokens`: packed latent tokens of the picture.
  Schedule schedule(int64_t steps, int64_t image_tokens) const;

 private:
  bool use_dynamic_shifting_ = false;
  bool exponential_ = true;
  double shift_ = 1.0;
  std::optional<double> shift_terminal_;
  double base_shift_ = 0.5, max_shift_ = 1.15;
  int64_t base_image_seq_len_ = 256, max_image_seq_len_ = 4096;
  int64_t num_train_timesteps_ = 1000;
};

// First step that image-to-image runs: steps - min(steps * strength, steps), truncated, in double
// as diffusers computes it. For 0 < strength <= 1 one step is left at least; diffusers has none
// left, and refuses, where a strength is lost beside the steps (1e-17).
int64_t first_step(int64_t steps, double strength);

}  // namespace qwen::pipeline
