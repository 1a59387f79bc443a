#pragma once

#include <string>

#include "engine/engine.h"

namespace qwen::addon {

// Fills `image`, whose size is set, from a file that holds its bytes and nothing else.
void read_pixels(const std::string& path, engine::RawImage& image);

}  // namespace qwen::addon
