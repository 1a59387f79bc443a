#pragma once

#include <gtest/gtest.h>

#include <string>

#include "errors/error.h"

namespace qwen::tests {

// Runs `body` and expects an EngineError of this code whose message holds every one of `parts`.
template <typename Body>
void expect_error(errors::ErrorCode code, const std::vector<std::string>& parts, const Body& body) {
  try {
    body();
  } catch (const errors::EngineError& error) {
    EXPECT_STREQ(errors::error_code_name(error.code()), errors::error_code_name(code))
        << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "'" << part << "' is not in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "expected " << errors::error_code_name(code) << ", nothing was thrown";
}

}  // namespace qwen::tests
