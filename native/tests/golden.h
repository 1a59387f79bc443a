#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pipeline/request.h"
#include "weights/json.h"
#include "weights/weights.h"

// Recorded outputs of diffusers (test/golden) and what this engine computes for the same inputs.
namespace qwen::golden {

// test/golden of the source tree; tools may point elsewhere.
void set_root(const std::string& folder);
std::string root();
std::string checkpoint_folder(const std::string& name);
// The tiny checkpoints, sorted by name.
std::vector<std::string> checkpoint_names();

// One recorded file: `data/<name>.safetensors` and `data/<name>.json`.
class Recording final {
 public:
  explicit Recording(const std::string& name);
  bool has(const std::string& tensor) const { return tensors_.tensors().contains(tensor); }
  at::Tensor tensor(const std::string& name) const;
  std::vector<int64_t> ids(const std::string& name) const;
  pipeline::RawImage image(const std::string& name) const;  // uint8 [H, W, 3]
  const weights::Json& json() const { return json_; }

 private:
  weights::Checkpoint tensors_;
  weights::Json json_;
};

// How far diffusers itself is from its recording of one bfloat16 forward on a processor of the kind
// that this one is (test/golden/processors.json); 0 where it was recorded.
double processor_spread(const std::string& checkpoint, const std::string& stage);

// max |a - b| / max |b|, in double. Infinite when a holds NaN or the shapes differ.
double relative_error(const at::Tensor& a, const at::Tensor& b);

// How many values of a picture may round the other way: two equally right float pictures are 0.0002
// levels apart on average, so that share of the values is between two levels. Which ones is chance:
// three standard deviations more.
double most_differing(int64_t values);

// Whether two 8-bit pictures are equal by the project's rule: no more than `most_differing` values
// differ, each by 1, each within 0.01 of x.5 before rounding in the reference's float picture.
struct PictureMatch {
  int64_t values = 0;
  int64_t differing = 0;
  int64_t largest = 0;      // largest difference in levels
  int64_t unexplained = 0;  // differing values that are not near a rounding edge of the reference
  double mean = 0;          // mean absolute difference in levels
  bool equal_in_8_bits() const {
    return static_cast<double>(differing) <= most_differing(values) && largest <= 1 &&
           unexplained == 0;
  }
};
// reference_float: [H, W, 3] in 0..1, or undefined where only the levels were recorded
PictureMatch compare_pictures(const pipeline::RawImage& ours, const pipeline::RawImage& reference,
                              const at::Tensor& reference_float);

}  // namespace qwen::golden
