#include "pipeline/scheduler.h"

#include <algorithm>
#include <cmath>

#include "weights/json.h"

namespace qwen::pipeline {

Scheduler Scheduler::read(const std::string& path) {
  const auto file = weights::ConfigReader::open(path);
  Scheduler scheduler;
  for (const char* key : {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                          "invert_sigmas", "stochastic_sampling"}) {
    file.require_false(key);
  }
  const std::string kind = file.text("_class_name", "FlowMatchEulerDiscreteScheduler");
  if (kind != "FlowMatchEulerDiscreteScheduler") {
    file.refuse("_class_name", "be 'FlowMatchEulerDiscreteScheduler'");
  }
  const std::string type = file.text("time_shift_type", "exponential");
  if (type != "exponential" && type != "linear") {
    file.refuse("time_shift_type", "be 'exponential' or 'linear'");
  }
  scheduler.exponential_ = type == "exponential";
  scheduler.use_dynamic_shifting_ = file.flag("use_dynamic_shifting", false);
  scheduler.shift_ = file.number("shift", 1.0);
  if (file.has("shift_terminal") && file.number("shift_terminal") != 0) {
    scheduler.shift_terminal_ = file.number("shift_terminal");
    if (!(*scheduler.shift_terminal_ < 1)) file.refuse("shift_terminal", "be below 1");
  }
  scheduler.base_shift_ = file.number("base_shift", scheduler.base_shift_);
  scheduler.max_shift_ = file.number("max_shift", scheduler.max_shift_);
  scheduler.base_image_seq_len_ =
      file.positive("base_image_seq_len", scheduler.base_image_seq_len_);
  scheduler.max_image_seq_len_ = file.positive("max_image_seq_len", scheduler.max_image_seq_len_);
  if (scheduler.max_image_seq_len_ == scheduler.base_image_seq_len_) {
    file.refuse("max_image_seq_len", "differ from base_image_seq_len");
  }
  scheduler.num_train_timesteps_ = file.positive("num_train_timesteps", 1000);
  return scheduler;
}

// The reference computes on a float32 array with double scalars, which numpy rounds to float32
// first.
Schedule Scheduler::schedule(int64_t steps, int64_t image_tokens) const {
  const double slope =
      (max_shift_ - base_shift_) / static_cast<double>(max_image_seq_len_ - base_image_seq_len_);
  const double mu = static_cast<double>(image_tokens) * slope +
                    (base_shift_ - slope * static_cast<double>(base_image_seq_len_));
  const auto pull = static_cast<float>(exponential_ ? std::exp(mu) : mu);
  const auto shift = static_cast<float>(shift_);
  const auto shift_less_one = static_cast<float>(shift_ - 1.0);

  std::vector<float> sigmas;
  const double last = 1.0 / static_cast<double>(steps);
  const double spacing = steps > 1 ? (last - 1.0) / static_cast<double>(steps - 1) : 0.0;
  for (int64_t i = 0; i < steps; ++i) {
    const double even = steps > 1 && i == steps - 1 ? last : 1.0 + static_cast<double>(i) * spacing;
    const auto sigma = static_cast<float>(even);
    sigmas.push_back(use_dynamic_shifting_ ? pull / (pull + (1.0f / sigma - 1.0f))
                                           : shift * sigma / (1.0f + shift_less_one * sigma));
  }
  if (shift_terminal_) {
    const float stretch = (1.0f - sigmas.back()) / static_cast<float>(1.0 - *shift_terminal_);
    for (float& sigma : sigmas) sigma = 1.0f - (1.0f - sigma) / stretch;
  }
  Schedule schedule;
  for (const float sigma : sigmas) {
    schedule.timesteps.push_back(sigma * static_cast<float>(num_train_timesteps_));
  }
  schedule.sigmas = std::move(sigmas);
  schedule.sigmas.push_back(0.0f);
  return schedule;
}

int64_t first_step(int64_t steps, double strength) {
  const auto all = static_cast<double>(steps);
  const double kept = std::min(all * strength, all);
  return std::min(static_cast<int64_t>(all - kept), steps - 1);
}

}  // namespace qwen::pipeline
