#pragma once

#include <exception>

#include "errors/error.h"

namespace qwen::engine {

// Whether an exception says that memory ran out: an allocator's own error, std::bad_alloc, or the
// text with which libtorch, oneDNN and CUDA's libraries tell it. Allocates nothing.
bool is_out_of_memory(const std::exception& error) noexcept;

errors::EngineError out_of_memory_error();
// OutOfMemory, or Internal in its own words.
errors::EngineError to_engine_error(const std::exception& error);

}  // namespace qwen::engine
