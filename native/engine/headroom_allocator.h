#pragma once

namespace qwen::engine {

// From now on libtorch's large blocks on the CPU leave the headroom free (pipeline/headroom.h).
// Does nothing the second time.
void guard_cpu_allocations();

}  // namespace qwen::engine
