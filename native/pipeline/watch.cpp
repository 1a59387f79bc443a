#include "pipeline/watch.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <string>

#include "errors/error.h"

namespace qwen::pipeline {

void FiniteWatch::look(const at::Tensor& x) {
  const at::Tensor finite = at::isfinite(x).all();
  finite_ = finite_.defined() ? finite_.logical_and(finite) : finite;
  if (x.device().is_cpu()) check();
}

void FiniteWatch::check() const {
  if (!finite_.defined() || finite_.item<bool>()) return;
  throw errors::EngineError(errors::ErrorCode::NumericalFailure,
                            std::string("NaN or Inf in the result of the stage '") + stage_ + "'");
}

int64_t StepPacer::issued() {
  ++steps_;
  if (device_.is_cpu()) return steps_;
  const c10::impl::VirtualGuardImpl guard(device_.type());
  c10::Event event(device_.type());
  event.record(guard.getStream(device_));
  if (previous_) previous_->synchronize();
  previous_.emplace(std::move(event));
  return steps_ - 1;
}

void StepPacer::finish() {
  if (previous_) previous_->synchronize();
}

}  // namespace qwen::pipeline
