#pragma once

#include <functional>
#include <memory>

namespace qwen::pipeline {

// A model that the pipeline asks to be on the device while it is used. Resident stages are built
// once; sequential ones are built from the mapped files for each use and freed on release, so that
// stages take turns.
template <typename Model>
class StageModel final {
 public:
  StageModel(std::function<std::unique_ptr<const Model>()> build, bool resident)
      : build_(std::move(build)), resident_(resident) {
    if (resident_) model_ = build_();
  }

  // Holds the model for the length of a scope.
  class Lease final {
   public:
    explicit Lease(StageModel& stage) : stage_(stage) {
      if (!stage_.model_) stage_.model_ = stage_.build_();
    }
    ~Lease() {
      if (!stage_.resident_) stage_.model_.reset();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    // Runs `work`, which may ask for other models: where they take turns, this one is freed before
    // it and built again after it.
    template <typename Work>
    void step_aside(const Work& work) {
      if (!stage_.resident_) stage_.model_.reset();
      work();
      if (!stage_.model_) stage_.model_ = stage_.build_();
    }
    const Model& operator*() const { return *stage_.model_; }
    const Model* operator->() const { return stage_.model_.get(); }

   private:
    StageModel& stage_;
  };

  Lease lease() { return Lease(*this); }

 private:
  std::function<std::unique_ptr<const Model>()> build_;
  const bool resident_;
  std::unique_ptr<const Model> model_;
};

}  // namespace qwen::pipeline
