// Times the engine by stage on one checkpoint and prints one line of JSON. The same work in
// diffusers is test/bench/diffusers_bench.py; `npm run bench` runs both.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "engine/device.h"
#include "pipeline/latents.h"
#include "pipeline/load.h"
#include "pipeline/pipeline.h"

namespace {

using namespace qwen;

struct Options {
  std::string model, dtype = "float32", device = "cpu";
  int threads = 0;
  int64_t width = 256, height = 256, steps = 20, repeat = 3;
  double cfg = 4.0;
  std::vector<int64_t> prompt_ids, negative_ids;
  std::set<std::string> stages = {"text_encoder", "transformer", "vae_encode", "vae_decode",
                                  "picture"};
};

std::set<std::string> parse_names(const std::string& text) {
  std::set<std::string> names;
  std::istringstream stream(text);
  for (std::string name; std::getline(stream, name, ',');) names.insert(name);
  return names;
}

std::vector<int64_t> parse_ids(const std::string& text) {
  std::vector<int64_t> ids;
  std::istringstream stream(text);
  for (std::string id; std::getline(stream, id, ',');) ids.push_back(std::stoll(id));
  return ids;
}

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::function<void(const std::string&)>> known = {
      {"--model", [&](const auto& v) { options.model = v; }},
      {"--dtype", [&](const auto& v) { options.dtype = v; }},
      {"--device", [&](const auto& v) { options.device = v; }},
      {"--threads", [&](const auto& v) { options.threads = std::stoi(v); }},
      {"--width", [&](const auto& v) { options.width = std::stoll(v); }},
      {"--height", [&](const auto& v) { options.height = std::stoll(v); }},
      {"--steps", [&](const auto& v) { options.steps = std::stoll(v); }},
      {"--cfg", [&](const auto& v) { options.cfg = std::stod(v); }},
      {"--repeat", [&](const auto& v) { options.repeat = std::stoll(v); }},
      {"--stages", [&](const auto& v) { options.stages = parse_names(v); }},
      {"--prompt-ids", [&](const auto& v) { options.prompt_ids = parse_ids(v); }},
      {"--negative-ids", [&](const auto& v) { options.negative_ids = parse_ids(v); }},
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto found = known.find(argv[i]);
    if (found == known.end()) throw std::invalid_argument(std::string("unknown option ") + argv[i]);
    found->second(argv[i + 1]);
  }
  if (argc % 2 == 0 || options.model.empty() || options.prompt_ids.empty()) {
    throw std::invalid_argument(
        "usage: bench --model DIR --prompt-ids 1,2,… [--negative-ids 1,2,…] [--dtype "
        "float32|bfloat16] "
        "[--device cpu|cuda] [--threads N] [--width W] [--height H] [--steps N] [--cfg S] "
        "[--repeat R]");
  }
  return options;
}

// A field of /proc/self/status in bytes.
int64_t status_bytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

// Peaks of anonymous and mapped memory apart, by sampling: the kernel keeps only the peak of their
// sum.
class PeakMemory final {
 public:
  PeakMemory() : thread_([this] { sample(); }) {}
  ~PeakMemory() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int64_t anonymous = 0, mapped = 0;

 private:
  void sample() {
    while (!stop_) {
      anonymous = std::max(anonymous, status_bytes("RssAnon"));
      mapped = std::max(mapped, status_bytes("RssFile"));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

class Bench final {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        device_(engine::resolve_device(options.device)),
        dtype_(options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat) {}

  std::map<std::string, double> run() {
    std::map<std::string, double> seconds;
    const auto start = std::chrono::steady_clock::now();
    text_ = pipeline::load_text_encoder(options_.model, dtype_, device_);
    transformer_ = pipeline::load_transformer(options_.model, dtype_, device_);
    vae_ = pipeline::load_vae(options_.model, dtype_, device_);
    seconds["load"] = since(start);
    make_inputs();
    const std::vector<std::pair<std::string, std::function<void()>>> stages = {
        {"text_encoder", [this] { (*text_)(options_.prompt_ids); }},
        {"transformer", [this] { forward(); }},
        {"vae_encode", [this] { vae_->encode(image_, nullptr, [] {}); }},
        {"vae_decode", [this] { vae_->decode(latents_, nullptr, [] {}); }},
    };
    double first = 0;
    for (const auto& [name, stage] : stages) {
      if (options_.stages.contains(name)) first += timed(stage);
    }
    // Mapped pages are paid for by the first use of each weight, so loading alone says little.
    seconds["load_first_forward"] = seconds["load"] + first;
    for (const auto& [name, stage] : stages) {
      if (options_.stages.contains(name)) seconds[name] = median(stage);
    }
    text_.reset();
    transformer_.reset();
    vae_.reset();
    if (options_.stages.contains("picture")) seconds["picture"] = picture();
    return seconds;
  }

 private:
  static double since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  double timed(const std::function<void()>& work) const {
    const auto start = std::chrono::steady_clock::now();
    work();
    if (device_.is_cuda()) at::accelerator::synchronizeDevice(device_.index());
    return since(start);
  }
  double median(const std::function<void()>& work) const {
    std::vector<double> times;
    for (int64_t i = 0; i < options_.repeat; ++i) times.push_back(timed(work));
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  void make_inputs() {
    pipeline::NoiseSource source(1);
    const auto& vae = vae_->config();
    const auto& transformer = transformer_->config();
    const int64_t ratio = vae.spatial_ratio();
    grid_ = {1, options_.height / ratio / 2, options_.width / ratio / 2};
    latents_ = source.normal(vae.z_dim, 2 * grid_.rows, 2 * grid_.columns, dtype_, device_);
    tokens_ = pipeline::pack(latents_);
    image_ = source.normal(3, options_.height, options_.width, dtype_, device_).clamp(-1, 1);
    const auto text_tokens = static_cast<int64_t>(options_.prompt_ids.size()) - kDropIndex;
    embeds_ = source.normal(1, text_tokens, transformer.joint_attention_dim, dtype_, device_)
                  .flatten(0, 2);
  }

  void forward() {
    const auto conditioning = transformer_->condition({embeds_}, {grid_});
    const auto modulation =
        transformer_->modulate(at::full({1}, 0.5, at::TensorOptions(device_).dtype(dtype_)));
    (*transformer_)(tokens_, conditioning, modulation, 0);
  }

  double picture() const {
    pipeline::Pipeline pipeline(options_.model, {.device = device_, .dtype = dtype_});
    pipeline::GenerateRequest request;
    request.prompt_ids = options_.prompt_ids;
    if (!options_.negative_ids.empty()) request.negative_prompt_ids = options_.negative_ids;
    request.drop_index = kDropIndex;
    request.width = options_.width;
    request.height = options_.height;
    request.num_inference_steps = options_.steps;
    request.true_cfg_scale = options_.cfg;
    request.seed = 1;
    const auto work = [&] { pipeline.generate(request, {}, {}); };
    work();
    return median(work);
  }

  static constexpr int64_t kDropIndex = 34;  // rows of the text-to-image template
  const Options options_;
  const at::Device device_;
  const c10::DeviceGuard current_{device_};
  const at::ScalarType dtype_;
  std::unique_ptr<const models::qwen2_5_vl::TextModel> text_;
  std::unique_ptr<const models::qwen_image::Transformer> transformer_;
  std::unique_ptr<const models::vae::Autoencoder> vae_;
  models::qwen_image::TokenGrid grid_{1, 0, 0};
  at::Tensor tokens_, latents_, image_, embeds_;
};

}  // namespace

int main(int argc, char** argv) try {
  const Options options = parse(argc, argv);
  engine::open_cuda_library();
  engine::configure_backends();
  if (options.threads > 0) at::set_num_threads(options.threads);
  const c10::InferenceMode inference;
  const int64_t before = status_bytes("VmRSS");
  PeakMemory peak;
  const auto seconds = Bench(options).run();
  peak.stop();
  std::printf(
      "{\"engine\":\"qwen-image-server\",\"libtorch\":\"%s\",\"device\":\"%s\",\"dtype\":\"%s\","
      "\"threads\":%d,",
      engine::build_info().libtorch.c_str(), options.device.c_str(), options.dtype.c_str(),
      at::get_num_threads());
  std::printf("\"width\":%ld,\"height\":%ld,\"steps\":%ld,\"cfg\":%g,\"seconds\":{",
              static_cast<long>(options.width), static_cast<long>(options.height),
              static_cast<long>(options.steps), options.cfg);
  const char* comma = "";
  for (const auto& [stage, value] : seconds) {
    std::printf("%s\"%s\":%.6f", comma, stage.c_str(), value);
    comma = ",";
  }
  std::printf(
      "},\"memory\":{\"peak\":%ld,\"peakAnonymous\":%ld,\"peakMapped\":%ld,\"beforeLoad\":%ld}}\n",
      static_cast<long>(status_bytes("VmHWM")), static_cast<long>(peak.anonymous),
      static_cast<long>(peak.mapped), static_cast<long>(before));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench: %s\n", error.what());
  return 1;
}
