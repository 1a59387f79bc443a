#include "engine/control_group.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace qwen::engine {
namespace {

namespace fs = std::filesystem;

// `max`, a missing and an unreadable file are no limit.
std::optional<int64_t> read_limit(const fs::path& file) {
  std::ifstream in(file);
  int64_t bytes = 0;
  return in >> bytes && bytes > 0 ? std::optional(bytes) : std::nullopt;
}

// Of `group` (a path that begins with '/') and every one above it. A container that sees the
// machine's path of its group, but only its own hierarchy, finds its limit at the top of it.
std::optional<int64_t> least_limit(const fs::path& hierarchy, const fs::path& group,
                                   const char* file) {
  std::optional<int64_t> least;
  for (fs::path at = group.relative_path();; at = at.parent_path()) {
    const auto limit = read_limit(hierarchy / at / file);
    if (limit) least = std::min(least.value_or(*limit), *limit);
    if (at.empty()) return least;
  }
}

bool names_memory(const std::string& controllers) {
  return ("," + controllers + ",").find(",memory,") != std::string::npos;
}

}  // namespace

std::optional<int64_t> control_group_memory_limit(const fs::path& membership,
                                                  const fs::path& mount) {
  std::optional<int64_t> least;
  const auto consider = [&](const std::optional<int64_t>& limit) {
    if (limit) least = std::min(least.value_or(*limit), *limit);
  };
  std::ifstream in(membership);
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) consider(least_limit(mount, group, "memory.max"));
    if (names_memory(controllers)) {
      consider(least_limit(mount / "memory", group, "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace qwen::engine
