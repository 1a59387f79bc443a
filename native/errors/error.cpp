#include "errors/error.h"

#include <array>

namespace qwen::errors {
namespace {

constexpr std::array kNames = {
    "INVALID_ARGUMENT",  "UNSUPPORTED_BY_MODEL", "INVALID_MODEL", "REQUEST_TOO_LARGE",  "CANCELLED",
    "NUMERICAL_FAILURE", "OUT_OF_MEMORY",        "DEVICE_LOST",   "ENGINE_UNAVAILABLE", "INTERNAL",
};
static_assert(kNames.size() == static_cast<size_t>(ErrorCode::Internal) + 1);

}  // namespace

const char* error_code_name(ErrorCode code) { return kNames.at(static_cast<size_t>(code)); }

std::vector<std::string> error_code_names() { return {kNames.begin(), kNames.end()}; }

void throw_invalid_model(const std::string& message) {
  throw EngineError(ErrorCode::InvalidModel, message);
}

}  // namespace qwen::errors
