#include "engine/engine.h"

#include <ATen/ATen.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <new>

#include "engine/device.h"
#include "pipeline/headroom.h"
#include "tests/expect_error.h"
#include "tests/golden.h"
#include "tests/temporary_folder.h"

namespace qwen::engine {
namespace {

using errors::ErrorCode;
using tests::expect_error;
using tests::TemporaryFolder;

const std::string kModel = "released";

GenerateRequest small_request() {
  const golden::Recording recording(kModel);
  GenerateRequest r;
  r.prompt_ids = recording.ids("t2i.prompt_ids");
  r.drop_index = 34;
  r.width = r.height = 64;
  r.num_inference_steps = 2;
  return r;
}

TEST(Engine, TellsWhatItLoaded) {
  Engine engine;
  const ModelInfo info =
      engine.load(golden::checkpoint_folder(kModel), {.device = "cpu", .threads = 2});
  EXPECT_EQ(info.pipeline_class, "QwenImagePipeline");
  EXPECT_EQ(info.dtype, "float32");
  EXPECT_EQ(info.size_multiple, 16);
  EXPECT_EQ(info.min_steps, 2);
  EXPECT_EQ(info.default_side, 1024);
  EXPECT_GT(info.parameters, 10'000);
  EXPECT_EQ(info.device.type, "cpu");
  EXPECT_EQ(info.device.threads, 2);
  EXPECT_FALSE(info.device.name.empty());
  const DeviceStats stats = engine.stats();
  EXPECT_GT(stats.memory_used, 10 << 20);
  EXPECT_GT(stats.memory_total, stats.memory_used);
}

TEST(Engine, RefusesFoldersItCannotServe) {
  Engine engine;
  const TemporaryFolder folder;
  const auto load = [&](const std::string& path) { engine.load(path, {.device = "cpu"}); };
  expect_error(ErrorCode::InvalidModel, {"/nowhere", "no such folder"}, [&] { load("/nowhere"); });
  const std::string model = folder.copy(golden::checkpoint_folder(kModel), "model");
  folder.write("model/model_index.json", R"({"_class_name":"StableDiffusionPipeline"})");
  expect_error(ErrorCode::InvalidModel,
               {"model_index.json", "QwenImagePipeline", "StableDiffusionPipeline"},
               [&] { load(model); });
  folder.write("model/model_index.json", R"({"_class_name":"QwenImagePipeline"})");
  load(model);
  for (const auto& entry : std::filesystem::directory_iterator(model + "/transformer")) {
    if (entry.path().extension() == ".safetensors")
      std::filesystem::resize_file(entry.path(), 5000);
  }
  expect_error(ErrorCode::InvalidModel, {"transformer/", ".safetensors", "truncated"},
               [&] { load(model); });
  // A failed load leaves no model behind.
  expect_error(ErrorCode::EngineUnavailable, {},
               [&] { engine.generate(small_request(), {}, CancelToken()); });
  load(golden::checkpoint_folder(kModel));
  EXPECT_EQ(engine.generate(small_request(), {}, CancelToken()).images.size(), 1u);
}

TEST(Engine, RefusesOptionsItCannotHonour) {
  Engine engine;
  const std::string folder = golden::checkpoint_folder(kModel);
  expect_error(ErrorCode::InvalidArgument, {"float16", "overflows"},
               [&] { engine.load(folder, {.dtype = "float16"}); });
  expect_error(ErrorCode::InvalidArgument, {"vaeTiling"},
               [&] { engine.load(folder, {.device = "cpu", .vae_tiling = "often"}); });
  expect_error(ErrorCode::InvalidModel, {"1000 are there"},
               [&] { engine.load(folder, {.device = "cpu", .memory_budget = 1000}); });
  for (const std::string device :
       {"tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999999999999"}) {
    expect_error(ErrorCode::InvalidArgument, {"cuda:N", "'" + device + "'"},
                 [&] { engine.load(folder, {.device = device}); });
  }
  if (!build_info().cuda) {
    expect_error(ErrorCode::EngineUnavailable, {"cuda:3"},
                 [&] { engine.load(folder, {.device = "cuda:3"}); });
  }
}

TEST(Engine, AdvisesOnlyWhatMakesTheWeightsSmaller) {
  Engine engine;
  const std::string folder = golden::checkpoint_folder(kModel);
  const auto expect_advice = [&](const std::string& advice, const LoadOptions& options) {
    expect_error(ErrorCode::InvalidModel, {" are there: use " + advice},
                 [&] { engine.load(folder, options); });
  };
  expect_advice("dtype bfloat16, residency sequential, a larger memoryBudget",
                {.device = "cpu", .dtype = "float32", .memory_budget = 1});
  expect_advice("residency sequential, a larger memoryBudget",
                {.device = "cpu", .memory_budget = 1});
  expect_advice("a larger memoryBudget or a larger device",
                {.device = "cpu", .sequential = true, .memory_budget = 1});
}

TEST(Engine, ChoosesBFloat16WhereFloat32DoesNotFit) {
  Engine engine;
  const std::string folder = golden::checkpoint_folder(kModel);
  int64_t needed = 0;
  try {
    engine.load(folder, {.device = "cpu", .dtype = "float32", .memory_budget = 1});
    FAIL() << "one byte holds no model";
  } catch (const errors::EngineError& error) {
    needed = std::stoll(std::string(error.what()).substr(std::string("the weights need ").size()));
  }
  EXPECT_EQ(engine.load(folder, {.device = "cpu", .memory_budget = needed}).dtype, "float32");
  EXPECT_EQ(engine.load(folder, {.device = "cpu", .memory_budget = needed - 1}).dtype, "bfloat16");
}

TEST(Engine, UnloadsTwiceAndLoadsAgain) {
  Engine engine;
  engine.unload();
  engine.load(golden::checkpoint_folder(kModel), {.device = "cpu"});
  engine.unload();
  engine.unload();
  expect_error(ErrorCode::EngineUnavailable, {},
               [&] { engine.generate(small_request(), {}, CancelToken()); });
  engine.load(golden::checkpoint_folder(kModel), {.device = "cpu"});
  EXPECT_EQ(engine.generate(small_request(), {}, CancelToken()).images.size(), 1u);
}

#ifndef QWEN_SANITIZE  // the sanitizers' own shadow memory does not fit under an address-space
                       // limit

// A limit of what this process has and `room` bytes, for the length of a scope.
class AddressSpace final {
 public:
  explicit AddressSpace(int64_t room) {
    std::ifstream statm("/proc/self/statm");
    int64_t pages = 0;
    statm >> pages;
    getrlimit(RLIMIT_AS, &before_);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + room);
    setrlimit(RLIMIT_AS, &limit);
  }
  ~AddressSpace() { setrlimit(RLIMIT_AS, &before_); }
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

 private:
  rlimit before_{};
};

constexpr int64_t kMebibyte = 1 << 20;

TEST(Engine, WorksOnAfterOutOfMemory) {
  Engine engine;
  engine.load(golden::checkpoint_folder(kModel), {.device = "cpu", .threads = 2});
  const auto before = engine.generate(small_request(), {}, CancelToken());
  GenerateRequest large = small_request();
  large.width = large.height = 4096;
  {
    const AddressSpace limited(128 * kMebibyte);
    expect_error(ErrorCode::OutOfMemory, {}, [&] { engine.generate(large, {}, CancelToken()); });
    EXPECT_EQ(engine.generate(small_request(), {}, CancelToken()).images.at(0).data,
              before.images.at(0).data);
  }
  EXPECT_EQ(engine.generate(small_request(), {}, CancelToken()).images.at(0).data,
            before.images.at(0).data);
}

// Tensors on "meta" have no values: it stands for a device that answers nothing any more.
TEST(Device, IsLostWhenItComputesNothing) {
  EXPECT_TRUE(still_computes(c10::Device(c10::kCPU)));
  EXPECT_FALSE(still_computes(c10::Device(c10::kMeta)));
}

TEST(Engine, DrawsNothingWithoutHeadroom) {
  Engine engine;
  engine.load(golden::checkpoint_folder(kModel), {.device = "cpu", .threads = 2});
  malloc_trim(0);  // or the engine finds room there
  {
    const AddressSpace limited(static_cast<int64_t>(pipeline::kLeastRoom) - kMebibyte);
    expect_error(ErrorCode::OutOfMemory, {},
                 [&] { engine.generate(small_request(), {}, CancelToken()); });
  }
  EXPECT_EQ(engine.generate(small_request(), {}, CancelToken()).images.size(), 1u);
}

TEST(Headroom, StaysFreeOfLargeBlocks) {
  Engine engine;  // puts its allocator in place
  // More than earlier tests have left at hand; nobody touches it.
  const int64_t room = 2048 * kMebibyte;
  const AddressSpace limited(room);
  const auto block = [](int64_t bytes) { return at::empty({bytes}, at::kByte); };
  const auto headroom = static_cast<int64_t>(pipeline::kHeadroom);
  EXPECT_NO_THROW(block(room - 2 * headroom));
  EXPECT_THROW(block(room - headroom / 2), std::bad_alloc);
}

TEST(Headroom, IsNotAskedForWhatTheHeapHasAtHand) {
  Engine engine;
  const auto block = [] { return at::empty({2 * kMebibyte}, at::kByte); };
  at::empty({24 * kMebibyte}, at::kByte);  // blocks up to this size come from the heap now
  std::vector<at::Tensor> kept;
  for (int i = 0; i < 64; ++i) kept.push_back(block());
  for (int i = 0; i < 62; ++i) kept[i].reset();
  const AddressSpace limited(static_cast<int64_t>(pipeline::kLeastRoom));
  EXPECT_NO_THROW(block());
  EXPECT_THROW(at::empty({512 * kMebibyte}, at::kByte), std::exception);
  EXPECT_NO_THROW(block());
}
#endif

TEST(Errors, NamesAreInTheOrderOfTheEnum) {
  const auto names = errors::error_code_names();
  ASSERT_EQ(names.size(), static_cast<size_t>(ErrorCode::Internal) + 1);
  EXPECT_EQ(names.front(), errors::error_code_name(ErrorCode::InvalidArgument));
  EXPECT_EQ(names.back(), "INTERNAL");
}

}  // namespace
}  // namespace qwen::engine
