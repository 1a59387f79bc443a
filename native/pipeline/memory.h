#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "models/qwen2_5_vl/config.h"
#include "models/qwen_image/config.h"
#include "models/vae/config.h"
#include "pipeline/memory_model.h"

namespace qwen::pipeline {

// Holes in the C library's heap, which holds blocks of up to 32 MB: measured up to 230 MB, whatever
// the size of the picture. Larger blocks are mapped one by one and leave none.
constexpr int64_t kHeapHoles = int64_t{256} << 20;

// How the numbers of a model lie in memory on a device.
struct Storage {
  int64_t element_size = 4;
  bool on_cpu = true;
  // Convolutions without a kernel for the dtype unfold their input: 9 values for one.
  bool unfolds = false;
};

Storage storage_of(c10::ScalarType dtype, c10::Device device);

// The coefficients of `request` and of the stages' activations; budget, weights and tiling are the
// caller's to fill in.
MemoryModel describe_activations(const models::qwen2_5_vl::TextConfig& text,
                                 const models::qwen_image::Config& transformer,
                                 const models::vae::Config& vae, const Storage& storage);

}  // namespace qwen::pipeline
