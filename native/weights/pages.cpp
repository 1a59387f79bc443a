#include "weights/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace qwen::weights {
namespace {

constexpr size_t kLargeBytes = 4 << 20;

// The whole pages of a part of memory.
void advise(const void* begin, size_t bytes, int advice) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = (address + page - 1) / page * page;
  const uintptr_t last = (address + bytes) / page * page;
  // Advice only: where the kernel refuses it, everything works as before.
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, advice);
}

}  // namespace

void advise_huge_pages(const void* begin, size_t bytes) {
  if (bytes >= kLargeBytes) advise(begin, bytes, MADV_HUGEPAGE);
}

void drop_mapped_pages(const void* begin, size_t bytes) { advise(begin, bytes, MADV_DONTNEED); }

}  // namespace qwen::weights
