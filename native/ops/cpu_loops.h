#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <bit>
#include <cstdint>

// One build serves old and new processors: the loops are compiled for each level and chosen at load
// time by what the processor can do. What a clone calls must be inlined into it, or it would run
// the code of the oldest level. Compilers that do not know the levels (g++ before 12) and the
// sanitizer build, whose runtime is not ready when the choice is made, take the plain loop.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && \
    !defined(QWEN_SANITIZE)
#define QWEN_VECTOR_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define QWEN_VECTOR_CLONES
#endif
#define QWEN_IN_CLONES __attribute__((always_inline)) inline

namespace qwen::ops {

// A bfloat16 value in a loop: its bits. c10::BFloat16's conversions keep the compiler from
// vectorizing.
using BFloat16Bits = uint16_t;

QWEN_IN_CLONES float load(const float* x) { return *x; }
QWEN_IN_CLONES float load(const BFloat16Bits* x) {
  return std::bit_cast<float>(static_cast<uint32_t>(*x) << 16);
}

// Rounds a float32 result to the dtype the reference would have stored it in; to the nearest, ties
// to even.
QWEN_IN_CLONES float round_to(float value, const float*) { return value; }
QWEN_IN_CLONES float round_to(float value, const BFloat16Bits*) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
  return value != value ? value : std::bit_cast<float>(rounded);  // the sum would carry a NaN away
}

QWEN_IN_CLONES void store(float* out, float value) { *out = value; }
QWEN_IN_CLONES void store(BFloat16Bits* out, float value) {
  // Of a NaN the quiet bit must survive the cut.
  const uint32_t bits =
      std::bit_cast<uint32_t>(round_to(value, out)) | (value != value ? 0x400000 : 0);
  *out = static_cast<BFloat16Bits>(bits >> 16);
}

template <typename T>
QWEN_IN_CLONES float sum_of_squares(const T* x, int64_t length) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < length; ++i) {
    const float value = load(x + i);
    sum += value * value;
  }
  return sum;
}

inline bool has_cpu_loop(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

// Calls body(float*) or body(BFloat16Bits*): the argument only names the type.
template <typename Body>
void dispatch_dtype(const at::Tensor& x, const Body& body) {
  if (x.scalar_type() == at::kFloat) {
    body(static_cast<float*>(nullptr));
  } else {
    TORCH_CHECK(x.scalar_type() == at::kBFloat16, "float32 or bfloat16 expected, got ",
                x.scalar_type());
    body(static_cast<BFloat16Bits*>(nullptr));
  }
}

template <typename T>
const T* data_of(const at::Tensor& x) {
  TORCH_CHECK(x.element_size() == sizeof(T), "tensors of one loop must have one dtype");
  return static_cast<const T*>(x.const_data_ptr());
}
template <typename T>
T* mutable_data_of(const at::Tensor& x) {
  TORCH_CHECK(x.element_size() == sizeof(T), "tensors of one loop must have one dtype");
  return static_cast<T*>(x.mutable_data_ptr());
}

// Rows are handed to threads in pieces of about this many elements.
inline int64_t grain_rows(int64_t row_length) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, row_length));
}

}  // namespace qwen::ops
