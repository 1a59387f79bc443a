#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace qwen::engine {

// The memory limit of the control groups that this process is in, of both versions: the least one
// of its own group and those above it. Nothing where there is none.
//   membership: /proc/self/cgroup, lines `0::/path` (version 2) and `N:memory:/path` (version 1)
//   mount:      where the hierarchies are mounted
std::optional<int64_t> control_group_memory_limit(
    const std::filesystem::path& membership = "/proc/self/cgroup",
    const std::filesystem::path& mount = "/sys/fs/cgroup");

}  // namespace qwen::engine
