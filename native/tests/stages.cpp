#include "tests/stages.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "pipeline/image.h"
#include "pipeline/latents.h"
#include "pipeline/load.h"
#include "pipeline/pipeline.h"

namespace qwen::golden {
namespace {

class Measurer final {
 public:
  Measurer(const std::string& checkpoint, at::Device device, at::ScalarType dtype)
      : folder_(checkpoint_folder(checkpoint)),
        recording_(checkpoint),
        prefix_(dtype == at::kBFloat16 ? "bf16." : ""),
        device_(device),
        dtype_(dtype) {}

  Measurement run() {
    text();
    transformer();
    autoencoder();
    pictures();
    return std::move(result_);
  }

 private:
  at::Tensor input(const std::string& name) const {
    return recording_.tensor(name).to(at::TensorOptions(device_).dtype(dtype_));
  }

  void compare(const std::string& name, const at::Tensor& ours) {
    if (!recording_.has(prefix_ + name)) return;
    result_.stages.push_back({name, relative_error(ours, recording_.tensor(prefix_ + name))});
  }

  void text() {
    const auto model = pipeline::load_text_encoder(folder_, dtype_, device_);
    const at::Tensor hidden = (*model)(recording_.ids("text.ids"));
    compare("text.hidden", hidden);
    const int64_t drop = recording_.json().find("text")->find("dropIndex")->integer();
    compare("text.embeds", hidden.narrow(0, drop, hidden.size(0) - drop));
  }

  void transformer() {
    using namespace models::qwen_image;
    const auto model = pipeline::load_transformer(folder_, dtype_, device_);
    std::vector<TokenGrid> grids;
    for (const auto& shape : recording_.json().find("transformer")->find("imgShapes")->array()) {
      grids.push_back(
          {shape.array()[0].integer(), shape.array()[1].integer(), shape.array()[2].integer()});
    }
    const auto modulation = model->modulate(input("transformer.timestep"));
    compare("transformer.temb", modulation.temb);
    const auto conditioning =
        model->condition({input("transformer.encoder_hidden_states").squeeze(0)}, grids);
    const at::Tensor output = (*model)(input("transformer.hidden_states").squeeze(0), conditioning,
                                       modulation, 0, [&](int64_t block, const Streams& x) {
                                         if (block != 0) return;
                                         compare("transformer.block0.img", x.img);
                                         // The last block leaves its text stream alone: nobody
                                         // reads it.
                                         if (model->config().num_layers > 1)
                                           compare("transformer.block0.txt", x.txt);
                                       });
    compare("transformer.output", output);
  }

  void autoencoder() {
    const auto model = pipeline::load_vae(folder_, dtype_, device_);
    const auto poll = [] {};
    const auto encode = [&](const std::string& name, const models::vae::Tiling* tiling) {
      if (!recording_.has(name + ".image")) return;
      const auto posterior = model->encode(input(name + ".image"), tiling, poll);
      compare(name + ".mean", posterior.mean);
      compare(name + ".logvar", posterior.logvar);
    };
    const auto decode = [&](const std::string& name, const models::vae::Tiling* tiling) {
      if (!recording_.has(name + ".latents")) return;
      compare(name + ".image", model->decode(input(name + ".latents"), tiling, poll));
    };
    encode("vae.encode", nullptr);
    decode("vae.decode", nullptr);
    const weights::Json* tiles = recording_.json().find("vae")->find("tiling");
    if (tiles == nullptr || !tiles->is_object()) return;
    const models::vae::Tiling tiling{tiles->find("side")->integer(),
                                     tiles->find("stride")->integer()};
    encode("vae.tiled.encode", &tiling);
    decode("vae.tiled.decode", &tiling);
  }

  pipeline::GenerateRequest request(const weights::Json& run, bool with_image) const {
    const std::string ids = with_image ? "i2i" : "t2i";
    pipeline::GenerateRequest request;
    request.prompt_ids = recording_.ids(ids + ".prompt_ids");
    request.negative_prompt_ids = recording_.ids(ids + ".negative_ids");
    request.drop_index = recording_.json().find("text")->find("dropIndex")->integer();
    request.width = run.find("width")->integer();
    request.height = run.find("height")->integer();
    request.num_inference_steps = run.find("numInferenceSteps")->integer();
    request.true_cfg_scale = run.find("trueCfgScale")->number();
    request.seed = static_cast<uint64_t>(run.find("seed")->integer());
    if (with_image) {
      request.image = recording_.image("i2i.input");
      request.strength = run.find("strength")->number();
    }
    return request;
  }

  void pictures() {
    pipeline::Pipeline pipeline(folder_, {.device = device_, .dtype = dtype_});
    for (const auto& [name, run] : recording_.json().find("runs")->object()) {
      if (!recording_.has(prefix_ + name + ".uint8")) continue;
      int64_t step = 0;
      const auto observe = [&, run_name = name](std::string_view what, const at::Tensor& value) {
        if (what == "step" && step++ == 0) compare(run_name + ".step0", value);
        if (what == "start") compare(run_name + ".start", value);
        if (what == "image_latents") {
          // Recorded once, unpacked [1, 1, C, h, w]: guidance does not touch it.
          const int64_t rows = recording_.tensor("i2i.image_latents").size(-2) / 2;
          compare("i2i.image_latents", pipeline::unpack(value, rows, value.size(0) / rows));
        }
        last_ = what == "step" ? value : last_;
      };
      const bool with_image = name.rfind("i2i", 0) == 0;
      const auto made = pipeline.generate(request(run, with_image), {}, {}, observe);
      compare(name + ".latents", last_);
      const std::string golden = prefix_ + name;
      const at::Tensor exact =
          recording_.has(golden + ".float") ? recording_.tensor(golden + ".float") : at::Tensor();
      result_.pictures.push_back(
          {golden,
           compare_pictures(made.images.at(0), recording_.image(golden + ".uint8"), exact)});
    }
  }

  const std::string folder_;
  const Recording recording_;
  const std::string prefix_;
  const at::Device device_;
  const at::ScalarType dtype_;
  at::Tensor last_;
  Measurement result_;
};

}  // namespace

Measurement measure(const std::string& checkpoint, at::Device device, at::ScalarType dtype) {
  const c10::InferenceMode inference;
  return Measurer(checkpoint, device, dtype).run();
}

}  // namespace qwen::golden
