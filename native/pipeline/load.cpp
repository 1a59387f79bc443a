#include "pipeline/load.h"

namespace qwen::pipeline {

using weights::Checkpoint;
using weights::Weights;

std::unique_ptr<const models::qwen2_5_vl::TextModel> load_text_encoder(const std::string& folder,
                                                                       at::ScalarType dtype,
                                                                       at::Device device,
                                                                       const weights::Poll& poll) {
  using namespace models::qwen2_5_vl;
  const std::string path = folder + "/text_encoder";
  const TextConfig config = TextConfig::read(path + "/config.json");
  const Weights w(Checkpoint::open(path, "model", canonical_name), dtype, device, poll);
  auto model = std::make_unique<const TextModel>(w, config);
  w.finish(is_unused);
  return model;
}

std::unique_ptr<const models::qwen_image::Transformer> load_transformer(const std::string& folder,
                                                                        at::ScalarType dtype,
                                                                        at::Device device,
                                                                        const weights::Poll& poll) {
  using namespace models::qwen_image;
  const std::string path = folder + "/transformer";
  const Config config = Config::read(path + "/config.json");
  const Weights w(Checkpoint::open(path, "diffusion_pytorch_model"), dtype, device, poll);
  auto model = std::make_unique<const Transformer>(w, config);
  w.finish();
  return model;
}

std::unique_ptr<const models::vae::Autoencoder> load_vae(const std::string& folder,
                                                         at::ScalarType dtype, at::Device device,
                                                         const weights::Poll& poll) {
  using namespace models::vae;
  const std::string path = folder + "/vae";
  const Config config = Config::read(path + "/config.json");
  const Weights w(Checkpoint::open(path, "diffusion_pytorch_model"), dtype, device, poll);
  auto model = std::make_unique<const Autoencoder>(w, config);
  w.finish(is_unused);
  return model;
}

}  // namespace qwen::pipeline
