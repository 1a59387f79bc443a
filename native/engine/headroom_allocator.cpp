#include "engine/headroom_allocator.h"

#include <c10/core/CPUAllocator.h>

#include <mutex>

#include "pipeline/headroom.h"

namespace qwen::engine {
namespace {

// libtorch's own allocator, watched. oneDNN's buffers come through it too.
class HeadroomAllocator final : public c10::Allocator {
 public:
  explicit HeadroomAllocator(c10::Allocator* behind) : behind_(behind) {}

  c10::DataPtr allocate(size_t bytes) override {
    return pipeline::take_block(bytes, [&] { return behind_->allocate(bytes); });
  }
  c10::DeleterFnPtr raw_deleter() const override { return behind_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    behind_->copy_data(to, from, bytes);
  }

 private:
  c10::Allocator* const behind_;
};

}  // namespace

void guard_cpu_allocations() {
  static std::once_flag once;
  // Never destroyed: tensors may outlive static destructors.
  std::call_once(once, [] { c10::SetCPUAllocator(new HeadroomAllocator(c10::GetCPUAllocator())); });
}

}  // namespace qwen::engine
