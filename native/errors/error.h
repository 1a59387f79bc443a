#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace qwen::errors {

// The list that callers act on. libs/engine/src/engine.error.ts holds the same names in the same
// order.
enum class ErrorCode {
  InvalidArgument,
  UnsupportedByModel,
  InvalidModel,
  RequestTooLarge,
  Cancelled,
  NumericalFailure,
  OutOfMemory,
  DeviceLost,
  EngineUnavailable,
  Internal,
};

// `INVALID_ARGUMENT` for ErrorCode::InvalidArgument.
const char* error_code_name(ErrorCode code);

// Every name, in the order of the enum.
std::vector<std::string> error_code_names();

// The one exception that leaves the engine. Messages say what was wrong, what was expected, what
// came.
class EngineError final : public std::runtime_error {
 public:
  EngineError(ErrorCode code, const std::string& message)
      : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

[[noreturn]] void throw_invalid_model(const std::string& message);

}  // namespace qwen::errors
