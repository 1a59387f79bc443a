#pragma once

#include <memory>
#include <string>

#include "models/qwen2_5_vl/text_model.h"
#include "models/qwen_image/transformer.h"
#include "models/vae/autoencoder.h"
#include "weights/weights.h"

// The three models of a diffusers-layout folder. Each throws EngineError(InvalidModel) naming the
// file, or listing names that do not match, and what `poll` throws.
namespace qwen::pipeline {

std::unique_ptr<const models::qwen2_5_vl::TextModel> load_text_encoder(
    const std::string& folder, at::ScalarType dtype, at::Device device,
    const weights::Poll& poll = {});
std::unique_ptr<const models::qwen_image::Transformer> load_transformer(
    const std::string& folder, at::ScalarType dtype, at::Device device,
    const weights::Poll& poll = {});
std::unique_ptr<const models::vae::Autoencoder> load_vae(const std::string& folder,
                                                         at::ScalarType dtype, at::Device device,
                                                         const weights::Poll& poll = {});

}  // namespace qwen::pipeline
