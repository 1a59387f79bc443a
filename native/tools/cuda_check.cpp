// Checks the engine on a device of a machine that has libtorch (or PyTorch) and no Node: recorded
// outputs of diffusers in float32 and bfloat16, cancel, out of memory and recovery, times per stage
// at the released models' layer sizes, and what it says of a lost device. Ends with `N passed, N
// failed`; exit status 0 only when nothing failed.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include "engine/device.h"
#include "engine/engine.h"
#include "errors/error.h"
#include "models/qwen2_5_vl/text_model.h"
#include "models/qwen_image/transformer.h"
#include "models/vae/autoencoder.h"
#include "tests/stages.h"
#include "tools/random_models.h"

namespace {

using namespace qwen;

int passed = 0, failed = 0;

void report(bool ok, const std::string& what) {
  std::printf("%s  %s\n", ok ? "ok  " : "FAIL", what.c_str());
  std::fflush(stdout);
  ++(ok ? passed : failed);
}

// Two bfloat16 computations, each as far from float32 as the reference's own, may be twice as far
// apart. 0 where only one of them was recorded.
double bfloat16_spread(const golden::Recording& recording, const std::string& stage) {
  const std::string bfloat16 = "bf16." + stage;
  if (!recording.has(stage) || !recording.has(bfloat16)) return 0;
  return 2 * golden::relative_error(recording.tensor(bfloat16), recording.tensor(stage));
}

// Other kernels sum in another order: float32 without TF32 stays near 1e-6 a forward, runs of
// several steps amplify it; bfloat16 has steps of 2^-8, which random weights amplify too.
void check_goldens(at::Device device) {
  struct Limit {
    at::ScalarType dtype;
    const char* name;
    double forward, run;
  };
  for (const Limit& limit :
       {Limit{at::kFloat, "float32", 2e-5, 1e-4}, Limit{at::kBFloat16, "bfloat16", 2e-2, 0.3}}) {
    for (const std::string& checkpoint : golden::checkpoint_names()) {
      const golden::Recording recording(checkpoint);
      const auto measured = golden::measure(checkpoint, device, limit.dtype);
      for (const auto& [stage, error] : measured.stages) {
        const bool whole_run = stage.rfind("t2i", 0) == 0 || stage.rfind("i2i", 0) == 0;
        double allowed = whole_run ? limit.run : limit.forward;
        if (limit.dtype == at::kBFloat16)
          allowed = std::max(allowed, bfloat16_spread(recording, stage));
        char text[160];
        std::snprintf(text, sizeof text, "%s %s %s: %.1e of %.1e", limit.name, checkpoint.c_str(),
                      stage.c_str(), error, allowed);
        report(error < allowed, text);
      }
      for (const auto& [run, picture] : measured.pictures) {
        std::printf("      %s %s: %ld of %ld values differ, mean %.4f levels\n", checkpoint.c_str(),
                    run.c_str(), static_cast<long>(picture.differing),
                    static_cast<long>(picture.values), picture.mean);
      }
    }
  }
}

engine::GenerateRequest small_request() {
  const golden::Recording recording("released");
  engine::GenerateRequest request;
  request.prompt_ids = recording.ids("t2i.prompt_ids");
  request.drop_index = 34;
  request.width = request.height = 64;
  request.num_inference_steps = 4;
  return request;
}

std::string code_of(const std::function<void()>& body) {
  try {
    body();
    return "none";
  } catch (const errors::EngineError& error) {
    return errors::error_code_name(error.code());
  }
}

void check_cancel(engine::Engine& engine) {
  const auto before = engine.generate(small_request(), {}, engine::CancelToken());
  engine::GenerateRequest request = small_request();
  request.num_inference_steps = 200;
  engine::CancelToken cancel;
  int64_t last = 0;
  const std::string code = code_of([&] {
    engine.generate(request,
                    {.on_progress =
                         [&](const engine::Progress& p) {
                           last = p.step;
                           if (p.step == 3) cancel.cancel();
                         }},
                    cancel);
  });
  report(code == "CANCELLED" && last <= 5,
         "cancel at step 3 ended at step " + std::to_string(last) + ": " + code);
  report(engine.generate(small_request(), {}, engine::CancelToken()).images[0].data ==
             before.images[0].data,
         "the same picture after a cancel");
}

void check_out_of_memory(engine::Engine& engine, at::Device device) {
  if (!device.is_cuda()) {
    std::printf(
        "      out of memory: only checked on CUDA here; the native tests check it on a CPU\n");
    return;
  }
  const auto before = engine.generate(small_request(), {}, engine::CancelToken());
  {
    const auto [free, total] = at::accelerator::getMemoryInfo(device.index());
    const at::Tensor hog = at::empty({static_cast<int64_t>(free) - (256 << 20)},
                                     at::TensorOptions(device).dtype(at::kByte));
    engine::GenerateRequest large = small_request();
    large.width = large.height = 8192;
    const std::string code = code_of([&] { engine.generate(large, {}, engine::CancelToken()); });
    report(code == "OUT_OF_MEMORY", "8192 x 8192 on a full device: " + code);
  }
  at::accelerator::emptyCache();
  report(engine.generate(small_request(), {}, engine::CancelToken()).images[0].data ==
             before.images[0].data,
         "the same picture after out of memory");
}

// Last of all: nothing else can be asked of the device afterwards.
void check_device_loss(engine::Engine& engine, at::Device device) {
  report(engine::still_computes(device), "the device computes");
  if (!device.is_cuda()) {
    std::printf("      a lost device: only checked on CUDA\n");
    return;
  }
  try {
    // A kernel's assertion on the index fails.
    const at::Tensor beyond = at::full({1}, 1 << 20, at::TensorOptions(device).dtype(at::kLong));
    at::ones({4}, at::TensorOptions(device)).index_select(0, beyond);
    at::accelerator::synchronizeDevice(device.index());
    report(false, "an index beyond the end is an error");
  } catch (const std::exception&) {
    const std::string code =
        code_of([&] { engine.generate(small_request(), {}, engine::CancelToken()); });
    report(code == "DEVICE_LOST" && !engine::still_computes(device),
           "a picture after a failed kernel: " + code);
  }
}

template <typename Work>
void time_stage(const char* name, at::Device device, const Work& work) {
  const auto wait = [&] {
    if (device.is_cuda()) at::accelerator::synchronizeDevice(device.index());
  };
  work();
  wait();
  constexpr int kRuns = 5;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRuns; ++i) work();
  wait();
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - start;
  std::printf("      %-34s %10.2f ms\n", name, elapsed.count() / kRuns);
}

// The released models' layers, two transformer blocks and two text layers; bfloat16, `side` x
// `side` pixels.
void bench(at::Device device, int64_t side) {
  const at::ScalarType dtype = at::kBFloat16;
  const auto options = at::TensorOptions(device).dtype(dtype);
  std::printf("\nbfloat16, %ld x %ld, random weights\n", static_cast<long>(side),
              static_cast<long>(side));
  {
    using namespace models::qwen2_5_vl;
    const auto model = tools::make_random<TextModel>(
        TextConfig{3584, 2, 28, 4, 18944, 1344, 1e-6, 1e6}, dtype, device);
    const std::vector<int64_t> ids(100, 5);
    time_stage("text encoder, 2 layers, 100 tokens", device, [&] { (*model)(ids); });
  }
  {
    using namespace models::qwen_image;
    const auto model = tools::make_random<Transformer>(
        Config{2, 64, 16, 2, 128, 24, 3584, {16, 56, 56}}, dtype, device);
    const TokenGrid grid{1, side / 16, side / 16};
    const at::Tensor latents = at::randn({grid.tokens(), 64}, options);
    const at::Tensor text = at::randn({66, 3584}, options);
    const auto modulation = model->modulate(at::full({1}, 0.5, options));
    for (const size_t branches : {1, 2}) {
      const auto conditioning = model->condition(std::vector<at::Tensor>(branches, text), {grid});
      time_stage(branches == 1 ? "transformer, 2 blocks" : "transformer, 2 blocks, guidance",
                 device, [&] { (*model)(latents, conditioning, modulation, 0); });
    }
  }
  {
    using namespace models::vae;
    Config config{
        96, 16, {1, 2, 4, 4}, 2, 3, std::vector<double>(16, 0.0), std::vector<double>(16, 1.0)};
    const auto model = tools::make_random<Autoencoder>(config, dtype, device);
    const at::Tensor image = at::rand({1, 3, side, side}, options) * 2 - 1;
    const at::Tensor latents = at::randn({1, 16, side / 8, side / 8}, options);
    time_stage("VAE encode", device, [&] { model->encode(image, nullptr, [] {}); });
    time_stage("VAE decode", device, [&] { model->decode(latents, nullptr, [] {}); });
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::string device_name = "cuda", golden_root = golden::root();
  int64_t side = 1024;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--device")
      device_name = argv[i + 1];
    else if (option == "--golden")
      golden_root = argv[i + 1];
    else if (option == "--side")
      side = std::stoll(argv[i + 1]);
    else
      throw std::invalid_argument(
          "usage: cuda_check [--device cuda|cuda:N|cpu] [--golden DIR] [--side PIXELS, 0: no "
          "times]");
  }
  golden::set_root(golden_root);
  engine::Engine engine;
  engine::configure_backends();
  const at::Device device = engine::resolve_device(device_name);
  const c10::DeviceGuard current(device);
  const auto info = engine::describe_device(device);
  std::printf("libtorch %s on %s (%s)\n", engine::build_info().libtorch.c_str(), info.name.c_str(),
              info.id.c_str());

  check_goldens(device);
  engine.load(golden::checkpoint_folder("released"), {.device = device_name, .dtype = "float32"});
  check_cancel(engine);
  check_out_of_memory(engine, device);
  if (side > 0) {
    const c10::InferenceMode inference;
    bench(device, side);
  }
  check_device_loss(engine, device);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "cuda_check: %s\n", error.what());
  return 1;
}
