#include "tests/golden.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

namespace qwen::golden {
namespace {

std::string& root_folder() {
  static std::string folder = QWEN_GOLDEN_ROOT;
  return folder;
}

// By what libraries choose their kernels; test/golden/processors.py says the same.
std::string processor_kind() {
  std::string kind = at::get_cpu_capability();
#if defined(__x86_64__)
  if (__builtin_cpu_supports("amx-tile")) kind += "+AMX";
#endif
  return kind;
}

}  // namespace

void set_root(const std::string& folder) { root_folder() = folder; }
std::string root() { return root_folder(); }
std::string checkpoint_folder(const std::string& name) { return root() + "/checkpoints/" + name; }

std::vector<std::string> checkpoint_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root() + "/checkpoints")) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Recording::Recording(const std::string& name)
    : tensors_(weights::Checkpoint::open_file(root() + "/data/" + name + ".safetensors")),
      json_(weights::Json::read_file(root() + "/data/" + name + ".json")) {}

at::Tensor Recording::tensor(const std::string& name) const {
  const auto found = tensors_.tensors().find(name);
  if (found == tensors_.tensors().end()) throw std::out_of_range("no golden tensor " + name);
  return found->second.tensor();
}

std::vector<int64_t> Recording::ids(const std::string& name) const {
  const at::Tensor ids = tensor(name).contiguous();
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()};
}

pipeline::RawImage Recording::image(const std::string& name) const {
  const at::Tensor bytes = tensor(name).contiguous();
  pipeline::RawImage image{bytes.size(1), bytes.size(0), bytes.size(2),
                           std::vector<uint8_t>(bytes.numel())};
  std::memcpy(image.data.data(), bytes.const_data_ptr<uint8_t>(), image.data.size());
  return image;
}

double most_differing(int64_t values) {
  const double expected = 0.0002 * static_cast<double>(values);
  return expected + 3 * std::sqrt(expected);
}

double processor_spread(const std::string& checkpoint, const std::string& stage) {
  const weights::Json all = weights::Json::read_file(root() + "/processors.json");
  const weights::Json* node = all.find(processor_kind());
  for (const std::string& name : {checkpoint, stage}) node = node ? node->find(name) : nullptr;
  return node ? node->number() : 0;
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (a.numel() != b.numel()) return infinite;
  const at::Tensor x = a.to(at::TensorOptions(at::kCPU).dtype(at::kDouble)).reshape(-1);
  const at::Tensor y = b.to(at::TensorOptions(at::kCPU).dtype(at::kDouble)).reshape(-1);
  const double error = (x - y).abs().max().item<double>() / y.abs().max().item<double>();
  return std::isnan(error) ? infinite : error;
}

PictureMatch compare_pictures(const pipeline::RawImage& ours, const pipeline::RawImage& reference,
                              const at::Tensor& reference_float) {
  constexpr double kNearEdge = 0.01;
  const bool has_float = reference_float.defined();
  const at::Tensor exact =
      has_float ? (reference_float.to(at::kDouble) * 255).contiguous() : at::Tensor();
  PictureMatch match;
  match.values = static_cast<int64_t>(reference.data.size());
  if (ours.data.size() != reference.data.size() || (has_float && exact.numel() != match.values)) {
    match.differing = match.unexplained = match.values;
    match.largest = 255;
    return match;
  }
  double sum = 0;
  for (int64_t i = 0; i < match.values; ++i) {
    const int64_t difference =
        std::abs(static_cast<int64_t>(ours.data[i]) - static_cast<int64_t>(reference.data[i]));
    if (difference == 0) continue;
    sum += static_cast<double>(difference);
    ++match.differing;
    match.largest = std::max(match.largest, difference);
    if (!has_float) continue;
    const double value = exact.const_data_ptr<double>()[i];
    const double to_edge = std::abs(value - std::floor(value) - 0.5);
    if (difference > 1 || to_edge > kNearEdge) ++match.unexplained;
  }
  match.mean = sum / static_cast<double>(match.values);
  return match;
}

}  // namespace qwen::golden
