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
            std::string(name) + " must be a multiple of " + std::to_string(size_multiple()) +
                " up to " + std::to_string(kMaxSide) + ", got " + std::to_string(value));
  };
  side("width", r.width);
  side("height", r.height);
  require(r.num_inference_steps >= min_steps() && r.num_inference_steps <= kMaxSteps,
          "num_inference_steps must be from " + std::to_string(min_steps()) + " to " +
              std::to_string(kMaxSteps) + ", got " + std::to_string(r.num_inference_steps));
  require(r.num_images >= 1 && r.num_images <= kMaxImages,
          "num_images must be from 1 to " + std::to_string(kMaxImages) + ", got " +
              std::to_string(r.num_images));
  require(r.previews >= 0 && r.previews <= kMaxPreviews, "previews must be from 0 to " +
                                                             std::to_string(kMaxPreviews) +
                                                             ", got " + std::to_string(r.previews));
  require(r.max_sequence_length >= 1, "max_sequence_length must be at least 1");
  require(std::isfinite(r.true_cfg_scale), "true_cfg_scale must be finite");
  const auto longest =
      std::max(r.prompt_ids.size(), r.negative_prompt_ids ? r.negative_prompt_ids->size() : 0);
  const auto shortest = std::min(r.prompt_ids.size(),
                                 r.negative_prompt_ids ? r.negative_prompt_ids->size() : longest);
  require(r.drop_index >= 0 && static_cast<int64_t>(shortest) > r.drop_index,
          "the prompt's tokens must go beyond the template's prefix");
  const int64_t offset = std::max(r.width, r.height) / size_multiple() / 2;
  const int64_t kept =
      std::min(static_cast<int64_t>(longest) - r.drop_index, r.max_sequence_length);
  require(offset + kept <= kMaxRopePositions, "the prompt is too long for this size");
  if (r.image) {
    const RawImage& image = *r.image;
    require(image.channels == 3 && image.width > 0 && image.height > 0 &&
                image.data.size() == static_cast<size_t>(image.width * image.height * 3),
            "image must be width x height x 3 bytes");
    require(r.strength > 0 && r.strength <= 1, "strength must be above 0 and at most 1");
  }
}

}  // namespace qwen::pipeline
