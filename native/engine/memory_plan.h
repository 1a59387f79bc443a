#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

#include "engine/engine.h"

namespace qwen::engine {

// Elements of the tensors of a checkpoint folder.
struct FolderSize {
  int64_t parameters = 0;                              // all
  int64_t text_encoder = 0, transformer = 0, vae = 0;  // that the engine holds
};

FolderSize measure_folder(const std::string& folder);

// float32 on a CPU where it fits, else bfloat16; bfloat16 on CUDA. Fails where the model can never
// fit. What the device has counts, not what is free just now: two starts must draw the same
// pictures.
c10::ScalarType choose_dtype(const LoadOptions& options, c10::Device device,
                             const FolderSize& size);

// What a run takes on this device; all but `tiling`, which the pipeline decides.
MemoryModel plan_memory(const std::string& folder, const LoadOptions& options, c10::Device device,
                        c10::ScalarType dtype, const FolderSize& size);

}  // namespace qwen::engine
