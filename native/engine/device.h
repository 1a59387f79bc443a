#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "engine/engine.h"

namespace qwen::engine {

// Opens libtorch_cuda where it lies beside libtorch_cpu. It must come before anything asks libtorch
// for CUDA: the answer is cached. Does nothing the second time.
void open_cuda_library();

// `auto` is the first CUDA device, else the CPU. Throws EngineError(EngineUnavailable) saying why
// not.
c10::Device resolve_device(const std::string& name);

// Deterministic float32 arithmetic and explicit attention kernels on CUDA.
void configure_backends();

DeviceInfo describe_device(c10::Device device);
DeviceStats device_stats(std::optional<c10::Device> device);
// Bytes that a model could take now.
int64_t available_memory(c10::Device device);
// Returns cached blocks to the device.
void release_caches(c10::Device device);
std::optional<std::string> cuda_version();

}  // namespace qwen::engine
