#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

#include "errors/error.h"
#include "pipeline/pipeline.h"

namespace qwen::pipeline {
namespace {

// Native bounds against what would exhaust the process; the service's own limits are tighter.
constexpr int64_t kMaxSide = 16'384;
constexpr int64_t kMaxSteps = 10'000;
constexpr int64_t kMaxImages = 64;
constexpr int64_t kMaxPreviews = 3;
constexpr int64_t kMaxRopePositions = 4096;  // the reference's rotary table ends there

void require(bool holds, const std::string& message) {
  if (!holds) throw errors::EngineError(errors::ErrorCode::InvalidArgument, message);
}

}  // namespace

void Pipeline::check(const GenerateRequest& r) const {
  const auto side = [&](const char* name, int64_t value) {
    require(value > 0 && value <= kMaxSide && value % size_multiple() == 0,
            c10::str(name, " must be a multiple of ", size_multiple(), " up to ", kMaxSide,
                     ", got ", value));
  };
  side("width", r.width);
  side("height", r.height);
  const auto within = [](const char* name, int64_t value, int64_t least, int64_t most) {
    require(value >= least && value <= most,
            c10::str(name, " must be from ", least, " to ", most, ", got ", value));
  };
  within("num_inference_steps", r.num_inference_steps, min_steps(), kMaxSteps);
  within("num_images", r.num_images, 1, kMaxImages);
  within("previews", r.previews, 0, kMaxPreviews);
  require(r.max_sequence_length >= 1,
          c10::str("max_sequence_length must be at least 1, got ", r.max_sequence_length));
  require(std::isfinite(r.true_cfg_scale),
          c10::str("true_cfg_scale must be finite, got ", r.true_cfg_scale));
  const auto longest =
      std::max(r.prompt_ids.size(), r.negative_prompt_ids ? r.negative_prompt_ids->size() : 0);
  const auto shortest = std::min(r.prompt_ids.size(),
                                 r.negative_prompt_ids ? r.negative_prompt_ids->size() : longest);
  require(r.drop_index >= 0 && static_cast<int64_t>(shortest) > r.drop_index,
          c10::str("the prompt's tokens must go beyond the template's prefix of ", r.drop_index,
                   ", got ", shortest, " tokens"));
  const int64_t offset = std::max(r.width, r.height) / size_multiple() / 2;
  const int64_t kept =
      std::min(static_cast<int64_t>(longest) - r.drop_index, r.max_sequence_length);
  require(offset + kept <= kMaxRopePositions,
          c10::str("the prompt is too long: ", kept, " tokens, at most ",
                   kMaxRopePositions - offset, " go with ", r.width, " x ", r.height));
  if (r.image) {
    const RawImage& image = *r.image;
    require(image.channels == 3 && image.width > 0 && image.height > 0 &&
                image.data.size() == static_cast<size_t>(image.width * image.height * 3),
            c10::str("image must be width x height x 3 bytes, got ", image.width, " x ",
                     image.height, " x ", image.channels, " in ", image.data.size(), " bytes"));
    require(r.strength > 0 && r.strength <= 1,
            c10::str("strength must be above 0 and at most 1, got ", r.strength));
  }
}

}  // namespace qwen::pipeline
