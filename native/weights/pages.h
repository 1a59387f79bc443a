#pragma once

#include <cstddef>

namespace qwen::weights {

// Asks for huge pages behind large memory: fewer faults while it is filled, fewer TLB misses while
// it is read.
void advise_huge_pages(const void* begin, size_t bytes);

// Gives back the resident pages that lie wholly inside this part of a read-only FILE mapping; they
// are read from the file again when touched. Never for other memory: its content would be lost.
void drop_mapped_pages(const void* begin, size_t bytes);

}  // namespace qwen::weights
