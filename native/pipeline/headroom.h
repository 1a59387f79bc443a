#pragma once

#include <cstddef>
#include <cstdint>

#include "pipeline/request.h"

// JavaScript's heap shares the process, and V8 ends the process when it cannot grow: whatever the
// engine takes leaves it room, and what does not is std::bad_alloc.
namespace qwen::pipeline {

// Address space that a large block must leave free: for V8, which needs a few megabytes in a run,
// and for what libraries take unasked (measured: up to 24 MB, buffers of matrix products that are
// kept).
constexpr size_t kHeadroom = size_t{64} << 20;
// Without so much nothing is begun.
constexpr size_t kLeastRoom = size_t{16} << 20;

// Whether so much could be mapped now.
bool has_room(size_t bytes) noexcept;
// Throws std::bad_alloc where it could not.
void require_room(size_t bytes);

// Of this process, mapped; 0 when the kernel does not say.
int64_t mapped_pages() noexcept;
// Gives back what the C library's heap has free at its end. Throws std::bad_alloc.
[[noreturn]] void give_up_block();

// A block from `take`, if it leaves the headroom free, or was at hand in the C library's heap and
// so takes nothing from it. Else std::bad_alloc. Small blocks come from that heap, which grows by
// few of them, and are not watched.
template <typename Take>
auto take_block(size_t bytes, const Take& take) {
  constexpr size_t kLargeBytes = size_t{1} << 20;
  if (bytes < kLargeBytes || has_room(bytes + kHeadroom)) return take();
  const int64_t before = mapped_pages();
  {
    auto block = take();
    if (mapped_pages() <= before) return block;
  }
  give_up_block();
}

// A black image, watched.
RawImage make_raw_image(int64_t width, int64_t height, int64_t channels);

}  // namespace qwen::pipeline
