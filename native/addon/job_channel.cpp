#include "addon/job_channel.h"

#include <utility>

namespace qwen::addon {
namespace {

constexpr int kMaxWaiting = 64;
constexpr size_t kUnlimitedQueue = 0;

}  // namespace

std::shared_ptr<JobChannel> JobChannel::open(Napi::Env env, Napi::Function on_event) {
  auto channel = std::make_shared<JobChannel>();
  // Deliveries to a living environment end with the finalizer: it holds the channel for them.
  auto* const held = new std::shared_ptr<JobChannel>(channel);
  channel->function_ = Function::New(
      env, on_event, "qwen_image job", kUnlimitedQueue, /*initialThreadCount=*/1, channel.get(),
      [](Napi::Env, std::shared_ptr<JobChannel>* held, JobChannel* channel) {
        {
          const std::lock_guard lock(channel->mutex_);
          channel->closed_ = true;
        }
        delete held;
      },
      held);
  return channel;
}

void JobChannel::send(Delivery delivery) {
  auto owned = std::make_unique<Delivery>(std::move(delivery));
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  ++waiting_;
  const napi_status status = function_.NonBlockingCall(owned.get());
  if (status == napi_ok) {
    static_cast<void>(owned.release());
    return;
  }
  --waiting_;
  if (status == napi_closing) closed_ = true;  // it has released the function
}

void JobChannel::send_unless_late(Delivery delivery) {
  if (waiting_ < kMaxWaiting) send(std::move(delivery));
}

void JobChannel::close() {
  const std::lock_guard lock(mutex_);
  if (!closed_) function_.Release();
  closed_ = true;
}

void JobChannel::deliver(Napi::Env env, Napi::Function on_event, JobChannel* channel,
                         Delivery* delivery) {
  const std::unique_ptr<Delivery> owned(delivery);
  // The environment is ending: Node has called the finalizer, and the channel may be gone.
  if (env == nullptr) return;
  --channel->waiting_;
  try {
    (*owned)(env, on_event);
  } catch (const Napi::Error& error) {
    // Thrown by the callback: as in any other callback, nobody above could catch it.
    napi_fatal_exception(env, error.Value());
  }
}

}  // namespace qwen::addon
