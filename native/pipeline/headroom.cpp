#include "pipeline/headroom.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

namespace qwen::pipeline {

// Limits of the address space, of data and of what may be promised (overcommit) all refuse a
// mapping; one that nobody touches costs two system calls.
bool has_room(size_t bytes) noexcept {
  void* const trial =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (trial == MAP_FAILED) return false;
  munmap(trial, bytes);
  return true;
}

void require_room(size_t bytes) {
  if (!has_room(bytes)) throw std::bad_alloc();
}

// Allocates nothing.
int64_t mapped_pages() noexcept {
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[64] = {};
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  return length > 0 ? std::strtoll(text, nullptr, 10) : 0;
}

void give_up_block() {
  malloc_trim(0);
  throw std::bad_alloc();
}

RawImage make_raw_image(int64_t width, int64_t height, int64_t channels) {
  const auto bytes = static_cast<size_t>(width * height * channels);
  return {width, height, channels, take_block(bytes, [&] { return std::vector<uint8_t>(bytes); })};
}

}  // namespace qwen::pipeline
