#include "engine/device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/SDPBackend.h>
#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "engine/control_group.h"
#include "errors/error.h"

namespace qwen::engine {
namespace {

std::string cuda_load_error;  // why libtorch_cuda could not be opened; empty when it is not there
                              // or it could

// Value of a `Key: text` line, or nothing.
std::optional<std::string> find_line(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const auto begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return std::nullopt;
}

int64_t meminfo_bytes(const std::string& key) {
  const auto text = find_line("/proc/meminfo", key + ":");
  return text ? std::stoll(*text) * 1024 : 0;
}

int64_t host_memory_total() {
  const int64_t machine = meminfo_bytes("MemTotal");
  return std::min(control_group_memory_limit().value_or(machine), machine);
}

// From the driver that libtorch has loaded: its numbering is libtorch's, CUDA_VISIBLE_DEVICES
// included.
std::string gpu_name(int index) {
  void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (driver != nullptr) {
    const auto get_device = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
    const auto get_name =
        reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
    int device = 0;
    char name[256] = {};
    if (get_device != nullptr && get_name != nullptr && get_device(&device, index) == 0 &&
        get_name(name, sizeof name, device) == 0) {
      return name;
    }
  }
  return "CUDA device " + std::to_string(index);
}

// N of `cuda:N`; the first device for `cuda` and `auto`.
int64_t parse_cuda_index(const std::string& name) {
  if (name == "auto" || name == "cuda") return 0;
  int64_t index = -1;
  if (name.starts_with("cuda:")) {
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + 5, end, index);
    if (error != std::errc() || stop != end) index = -1;
  }
  if (index < 0) {
    throw errors::EngineError(errors::ErrorCode::InvalidArgument,
                              "device must be auto, cpu, cuda or cuda:N, got '" + name + "'");
  }
  return index;
}

}  // namespace

void open_cuda_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void*>(&at::init_num_threads), &info) == 0) return;
    const auto library = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
    if (!std::filesystem::exists(library)) return;
    // Never closed: unloading a CUDA library with live handles crashes at exit.
    if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) cuda_load_error = dlerror();
  });
}

c10::Device resolve_device(const std::string& name) {
  const bool cuda = at::hasCUDA() && at::accelerator::deviceCount() > 0;
  if (name == "cpu" || (name == "auto" && !cuda)) return {c10::DeviceType::CPU};
  const int64_t index = parse_cuda_index(name);
  if (!cuda) {
    const std::string reason = !cuda_load_error.empty()
                                   ? "libtorch_cuda cannot be loaded: " + cuda_load_error
                                   : "no CUDA device or no CUDA build of libtorch";
    throw errors::EngineError(errors::ErrorCode::EngineUnavailable,
                              "device '" + name + "' is not there: " + reason);
  }
  const int count = at::accelerator::deviceCount();
  if (index >= count) {
    throw errors::EngineError(
        errors::ErrorCode::EngineUnavailable,
        "device '" + name + "' is not there: " + std::to_string(count) + " CUDA device(s)");
  }
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

void configure_backends() {
  at::Context& context = at::globalContext();
  // float32 means float32: matrix products already are, cuDNN's convolutions would use TF32.
  context.setAllowTF32CuDNN(false);
  // The same request gives the same bytes.
  context.setDeterministicCuDNN(true);
  using at::SDPBackend;
  context.setSDPPriorityOrder({static_cast<int64_t>(SDPBackend::cudnn_attention),
                               static_cast<int64_t>(SDPBackend::flash_attention),
                               static_cast<int64_t>(SDPBackend::efficient_attention),
                               static_cast<int64_t>(SDPBackend::math)});
}

DeviceInfo describe_device(c10::Device device) {
  DeviceInfo info;
  info.threads = at::get_num_threads();
  info.id = device.str();
  if (device.is_cuda()) {
    info.type = "cuda";
    info.name = gpu_name(device.index());
  } else {
    info.type = "cpu";
    info.name = find_line("/proc/cpuinfo", "model name").value_or("unknown processor");
  }
  return info;
}

DeviceStats device_stats(std::optional<c10::Device> device) {
  DeviceStats stats;
  if (device && device->is_cuda()) {
    const auto [free, total] = at::accelerator::getMemoryInfo(device->index());
    return {static_cast<int64_t>(total - free), static_cast<int64_t>(total)};
  }
  std::ifstream statm("/proc/self/statm");
  int64_t virtual_pages = 0, resident_pages = 0;
  if (statm >> virtual_pages >> resident_pages)
    stats.memory_used = resident_pages * sysconf(_SC_PAGESIZE);
  stats.memory_total = host_memory_total();
  return stats;
}

bool still_computes(c10::Device device) noexcept {
  try {
    const at::Tensor one = at::ones({}, at::TensorOptions(device).dtype(at::kInt));
    return (one + one).item<int>() == 2;
  } catch (const std::exception&) {
    return false;
  }
}

void release_caches(c10::Device device) noexcept {
  if (!device.is_cuda()) {
    malloc_trim(0);
    return;
  }
  try {
    at::accelerator::emptyCache();
  } catch (const std::exception&) {
    // A device that fails here has failed before; that error is the one to tell.
  }
}

std::optional<std::string> cuda_version() {
  if (!at::hasCUDA()) return std::nullopt;
  const long version = at::detail::getCUDAHooks().versionCUDART();
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace qwen::engine
