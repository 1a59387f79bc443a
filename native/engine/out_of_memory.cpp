#include "engine/out_of_memory.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <oneapi/dnnl/dnnl_common.hpp>
#include <string_view>
#include <system_error>

namespace qwen::engine {
namespace {

// libtorch wraps what others say in plain errors, and so do thread pools and mappings of files.
constexpr std::array<std::string_view, 8> kTexts = {
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "could not create a memory",  // oneDNN's buffers; its other errors have other causes too
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
};

bool says_so(std::string_view what) {
  return std::any_of(kTexts.begin(), kTexts.end(), [&](std::string_view text) {
    return what.find(text) != std::string_view::npos;
  });
}

}  // namespace

bool is_out_of_memory(const std::exception& error) noexcept {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  if (const auto* const dnn = dynamic_cast<const dnnl::error*>(&error)) {
    if (dnn->status == dnnl_out_of_memory) return true;
  }
  if (const auto* const system = dynamic_cast<const std::system_error*>(&error)) {
    // EAGAIN: a thread that could not be started.
    if (system->code() == std::errc::not_enough_memory ||
        system->code() == std::errc::resource_unavailable_try_again) {
      return true;
    }
  }
  return says_so(error.what());
}

errors::EngineError out_of_memory_error() {
  return {errors::ErrorCode::OutOfMemory, "the memory does not hold this request just now"};
}

errors::EngineError to_engine_error(const std::exception& error) {
  if (is_out_of_memory(error)) return out_of_memory_error();
  return {errors::ErrorCode::Internal, error.what()};
}

}  // namespace qwen::engine
