#include "pipeline/scheduler.h"

#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"

namespace qwen::pipeline {
namespace {

using errors::ErrorCode;
using tests::expect_error;

TEST(Scheduler, GivesTheRecordedNoiseLevels) {
  int cases = 0;
  for (const std::string& name : golden::checkpoint_names()) {
    const golden::Recording recording(name);
    const auto scheduler =
        Scheduler::read(golden::checkpoint_folder(name) + "/scheduler/scheduler_config.json");
    const auto& recorded = recording.json().find("scheduler")->array();
    for (size_t i = 0; i < recorded.size(); ++i, ++cases) {
      const auto schedule = scheduler.schedule(recorded[i].find("steps")->integer(),
                                               recorded[i].find("imageTokens")->integer());
      const std::string key = "scheduler." + std::to_string(i);
      const at::Tensor sigmas = recording.tensor(key + ".sigmas");
      const at::Tensor timesteps = recording.tensor(key + ".timesteps");
      ASSERT_EQ(static_cast<int64_t>(schedule.sigmas.size()), sigmas.numel());
      for (int64_t k = 0; k < sigmas.numel(); ++k) {
        EXPECT_FLOAT_EQ(schedule.sigmas[k], sigmas.const_data_ptr<float>()[k])
            << name << " " << key << " " << k;
      }
      for (int64_t k = 0; k < timesteps.numel(); ++k) {
        EXPECT_FLOAT_EQ(schedule.timesteps[k], timesteps.const_data_ptr<float>()[k])
            << name << " " << key;
      }
    }
  }
  EXPECT_GT(cases, 10);
}

TEST(Scheduler, LeavesAtLeastOneStepAtAnyStrength) {
  // (steps, strength) → first step, as diffusers' double arithmetic gives it
  EXPECT_EQ(first_step(50, 0.6), 20);
  EXPECT_EQ(first_step(50, 0.95), 2);
  EXPECT_EQ(first_step(20, 0.3), 14);
  EXPECT_EQ(first_step(2, 0.6), 0);
  EXPECT_EQ(first_step(10, 0.05), 9);
  EXPECT_EQ(first_step(7, 1.0), 0);
  for (int64_t steps = 1; steps <= 200; ++steps) {
    for (const double strength : {5e-324, 1e-17, 1e-9, 0.001, 0.1, 0.33, 0.5, 0.999, 1.0}) {
      EXPECT_LT(first_step(steps, strength), steps) << steps << " " << strength;
    }
  }
}

TEST(Scheduler, RefusesWhatItDoesNotCompute) {
  const tests::TemporaryFolder folder;
  const auto read = [&](const std::string& json) {
    return Scheduler::read(folder.write("s.json", json));
  };
  EXPECT_EQ(read("{}").min_steps(), 1);
  EXPECT_EQ(read(R"({"shift_terminal":null})").min_steps(), 1);
  EXPECT_EQ(read(R"({"shift_terminal":0.02})").min_steps(), 2);
  expect_error(ErrorCode::InvalidModel, {"s.json", "use_karras_sigmas"},
               [&] { read(R"({"use_karras_sigmas":true})"); });
  expect_error(ErrorCode::InvalidModel, {"time_shift_type", "'cubic'"},
               [&] { read(R"({"time_shift_type":"cubic"})"); });
  expect_error(ErrorCode::InvalidModel, {"_class_name", "EulerDiscreteScheduler"},
               [&] { read(R"({"_class_name":"EulerDiscreteScheduler"})"); });
  expect_error(ErrorCode::InvalidModel, {"max_image_seq_len"},
               [&] { read(R"({"max_image_seq_len":256})"); });
}

}  // namespace
}  // namespace qwen::pipeline
