#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>

#include <cstdint>

// One build serves old and new processors: the loops are compiled for each level and chosen at load
// time. The sanitizer build takes the plain loop: resolvers run before the sanitizer's runtime is
// ready.
#if defined(__x86_64__) && !defined(QWEN_SANITIZE)
#define QWEN_VECTOR_CLONES \
  __attribute__((target_clones("default", "arch=haswell", "arch=x86-64-v4")))
#else
#define QWEN_VECTOR_CLONES
#endif

namespace qwen::ops {

// Rounds a float32 result to the dtype the reference would have stored it in.
inline float round_to(float value, const float*) { return value; }
inline float round_to(float value, const c10::BFloat16*) {
  return static_cast<float>(c10::BFloat16(value));
}

inline bool has_cpu_loop(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

// Calls body(float*) or body(BFloat16*): the argument only names the type.
template <typename Body>
void dispatch_dtype(const at::Tensor& x, const Body& body) {
  if (x.scalar_type() == at::kFloat) {
    body(static_cast<float*>(nullptr));
  } else {
    TORCH_CHECK(x.scalar_type() == at::kBFloat16, "float32 or bfloat16 expected, got ",
                x.scalar_type());
    body(static_cast<c10::BFloat16*>(nullptr));
  }
}

// Rows are handed to threads in pieces of about this many elements.
inline int64_t grain_rows(int64_t row_length) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, row_length));
}

}  // namespace qwen::ops
