#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "engine/engine.h"

namespace qwen::engine {

// Opens libtorch_cuda where it lies beside libtorch_cpu. It must come before anything asks libtorch
// for CUDA: the answer is cached. Does nothing the second time.
void open_cuda_library();

// `auto` is the first CUDA device, else the CPU. Throws EngineError: InvalidArgument for a name
// that is none, EngineUnavailable saying why the device is not there.
c10::Device resolve_device(const std::string& name);

// For CUDA: float32 without TF32, convolutions that repeat bit for bit, an explicit order of
// attention kernels.
void configure_backends();

DeviceInfo describe_device(c10::Device device);
DeviceStats device_stats(std::optional<c10::Device> device);
// Whether the device still adds up two numbers. After some errors (an illegal address, a failed
// assertion in a kernel, a device that fell off its bus) CUDA refuses everything that the process
// asks of it.
bool still_computes(c10::Device device) noexcept;
// Returns cached blocks to the device, as far as it still works.
void release_caches(c10::Device device) noexcept;
std::optional<std::string> cuda_version();

}  // namespace qwen::engine
