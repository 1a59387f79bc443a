#pragma once

#include <exception>

namespace qwen::engine {

// Whether an exception says that memory ran out: an allocator's own error, std::bad_alloc, or the
// text with which libtorch, oneDNN and CUDA's libraries tell it. Allocates nothing.
bool is_out_of_memory(const std::exception& error) noexcept;

}  // namespace qwen::engine
