#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <optional>

namespace qwen::pipeline {

// Looks for NaN and Inf. On a CPU at once; elsewhere the flag stays on the device until `check`, so
// that the host does not wait for every step.
class FiniteWatch final {
 public:
  // `stage` names where the values come from, in the error.
  explicit FiniteWatch(const char* stage) : stage_(stage) {}
  void look(const at::Tensor& x);
  // Throws EngineError(NumericalFailure).
  void check() const;

 private:
  const char* stage_;
  at::Tensor finite_;  // bool, 0-dim, on the device
};

// Keeps the host at most one step ahead of the device: one event a step, waited for one step late.
class StepPacer final {
 public:
  explicit StepPacer(at::Device device) : device_(device) {}
  // Call after a step has been issued; returns how many steps are known to be done.
  int64_t issued();
  // Waits for everything issued.
  void finish();

 private:
  const at::Device device_;
  int64_t steps_ = 0;
  std::optional<c10::Event> previous_;
};

}  // namespace qwen::pipeline
