#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pipeline/latents.h"
#include "tests/golden.h"
#include "tests/stages.h"

namespace qwen::golden {
namespace {

// float32: two runs of the same arithmetic differ by the order of sums. A sum of a few thousand
// products in float32 is good to some 1e-6 of its largest term; 2e-5 leaves a decade for the depth
// of the networks. bfloat16 holds 8 bits: 1e-2 is two and a half of its steps at the largest value.
constexpr double kFloat32Tolerance = 2e-5;
constexpr double kBFloat16Tolerance = 1e-2;

class Fidelity : public testing::TestWithParam<std::string> {};

TEST_P(Fidelity, Float32StagesAndPicturesAreThoseOfDiffusers) {
  const Measurement measured = measure(GetParam(), at::kCPU, at::kFloat);
  EXPECT_GE(measured.stages.size(), 18u);
  for (const auto& [stage, error] : measured.stages) EXPECT_LT(error, kFloat32Tolerance) << stage;
  EXPECT_EQ(measured.pictures.size(), 4u);
  for (const auto& [run, picture] : measured.pictures) {
    EXPECT_TRUE(picture.equal_in_8_bits())
        << run << ": " << picture.differing << " of " << picture.values
        << " values differ, by up to " << picture.largest << ", " << picture.unexplained
        << " of them not near a rounding edge";
  }
}

TEST_P(Fidelity, BFloat16ForwardsAreThoseOfDiffusers) {
  const Measurement measured = measure(GetParam(), at::kCPU, at::kBFloat16);
  EXPECT_GE(measured.stages.size(), 10u);
  for (const auto& [stage, error] : measured.stages) {
    // Runs of several steps amplify a last-bit difference; they are judged by the picture below.
    if (stage.rfind("t2i.", 0) == 0) continue;
    // Where diffusers is not equal to its own recording, ours cannot be nearer than that.
    EXPECT_LT(error, kBFloat16Tolerance + processor_spread(GetParam(), stage)) << stage;
  }
  // Another valid order of sums (the reference's own other attention path) moves the reference's
  // picture by `spread` levels on average. Ours sums in another order inside the norms, so it may
  // differ as much: half as much again covers the chance in which values flip.
  ASSERT_EQ(measured.pictures.size(), 1u);
  const Recording recording(GetParam());
  const double spread = recording.json()
                            .find("spread")
                            ->find("bfloat16")
                            ->find("mathAttention")
                            ->find("mean")
                            ->number();
  EXPECT_GT(spread, 0);
  EXPECT_LE(measured.pictures[0].picture.mean, 1.5 * spread);
}

TEST_P(Fidelity, NoiseIsTheRecordedStream) {
  const Recording recording(GetParam());
  for (const auto& [prefix, dtype] :
       {std::pair{"", at::kFloat}, std::pair{"bf16.", at::kBFloat16}}) {
    const at::Tensor golden =
        recording.tensor(std::string(prefix) + "t2i.noise");  // [1, 1, C, h, w]
    pipeline::NoiseSource source(
        static_cast<uint64_t>(recording.json().find("runs")->find("t2i")->find("seed")->integer()));
    const at::Tensor ours =
        source.normal(golden.size(2), golden.size(3), golden.size(4), dtype, at::kCPU);
    EXPECT_TRUE(ours.equal(golden.squeeze(0))) << prefix;
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Fidelity, testing::ValuesIn(checkpoint_names()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Comparison, RefusesPicturesThatDiffer) {
  const pipeline::RawImage reference{1, 1, 3, {10, 20, 30}};
  const at::Tensor exact = at::tensor({10.499, 20.0, 30.0}, at::kDouble).div(255).view({1, 1, 3});
  const auto compare = [&](std::vector<uint8_t> data) {
    return compare_pictures({1, 1, 3, std::move(data)}, reference, exact);
  };
  EXPECT_TRUE(compare({10, 20, 30}).equal_in_8_bits());
  EXPECT_EQ(compare({11, 20, 30}).unexplained, 0);        // the reference was 10.499
  EXPECT_FALSE(compare({11, 20, 30}).equal_in_8_bits());  // but one value of three is too many
  EXPECT_EQ(compare({10, 21, 30}).unexplained, 1);
  EXPECT_EQ(compare({12, 20, 30}).largest, 2);
  EXPECT_FALSE(compare({10, 20}).equal_in_8_bits());
}

}  // namespace
}  // namespace qwen::golden
