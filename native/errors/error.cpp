#include "errors/error.h"

#include <array>

namespace qwen::errors {
namespace {

constexpr std::array kNames = {
    "INVALID_ARGUMENT",  "UNSUPPORTED_BY_MODEL", "INVALID_MODEL", "REQUEST_TOO_LARGE",  "CANCELLED",
    "NUMERICAL_FAILURE", "OUT_OF_MEMORY",        "DEVICE_LOST",   "ENGINE_UNAVAILABLE", "INTERNAL",
};
// A model's files name their tensors and keys, at any length; logs and answers carry what is told
// of them.
constexpr size_t kLongestMessage = 4000;

static_assert(kNames.size() == static_cast<size_t>(ErrorCode::Internal) + 1);

}  // namespace

const char* error_code_name(ErrorCode code) { return kNames.at(static_cast<size_t>(code)); }

std::vector<std::string> error_code_names() { return {kNames.begin(), kNames.end()}; }

void throw_invalid_model(const std::string& message) {
  if (message.size() <= kLongestMessage) throw EngineError(ErrorCode::InvalidModel, message);
  size_t end = kLongestMessage;
  while (end > 0 && (message[end] & 0xC0) == 0x80) --end;  // not within a UTF-8 character
  throw EngineError(
      ErrorCode::InvalidModel,
      message.substr(0, end) + "… (" + std::to_string(message.size() - end) + " bytes more)");
}

}  // namespace qwen::errors
