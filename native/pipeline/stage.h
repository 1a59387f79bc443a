#pragma once

#include <functional>
#include <memory>

#include "weights/weights.h"

namespace qwen::pipeline {

// A model that the pipeline asks to be on the device while it is used. Resident stages are built
// once; sequential ones are built from the mapped files for each use and freed on release, so that
// stages take turns. `poll` is called while one is being built, which may take minutes.
template <typename Model>
class StageModel final {
 public:
  using Build = std::function<std::unique_ptr<const Model>(const weights::Poll& poll)>;

  StageModel(Build build, bool resident) : build_(std::move(build)), resident_(resident) {
    if (resident_) model_ = build_({});
  }

  // Holds the model for the length of a scope.
  class Lease final {
   public:
    Lease(StageModel& stage, weights::Poll poll) : stage_(stage), poll_(std::move(poll)) {
      stage_.require(poll_);
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
      stage_.require(poll_);
    }
    const Model& operator*() const { return *stage_.model_; }
    const Model* operator->() const { return stage_.model_.get(); }

   private:
    StageModel& stage_;
    const weights::Poll poll_;
  };

  Lease lease(weights::Poll poll) { return Lease(*this, std::move(poll)); }

 private:
  void require(const weights::Poll& poll) {
    if (!model_) model_ = build_(poll);
  }

  const Build build_;
  const bool resident_;
  std::unique_ptr<const Model> model_;
};

}  // namespace qwen::pipeline
