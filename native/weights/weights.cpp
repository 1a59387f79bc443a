#include "weights/weights.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/StringUtil.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "errors/error.h"
#include "weights/json.h"
#include "weights/pages.h"

namespace qwen::weights {

namespace fs = std::filesystem;

namespace {

constexpr size_t kListedFaults = 20;

std::atomic<int64_t> taken_bytes{0};

}  // namespace

Checkpoint::Stored::Stored(std::shared_ptr<const SafetensorsFile> file, std::string name)
    : file_(std::move(file)), name_(std::move(name)) {}

at::ScalarType Checkpoint::Stored::dtype() const {
  return file_ ? entry().dtype : in_memory_.scalar_type();
}
at::IntArrayRef Checkpoint::Stored::shape() const {
  return file_ ? at::IntArrayRef(entry().shape) : in_memory_.sizes();
}
int64_t Checkpoint::Stored::numel() const { return c10::multiply_integers(shape()); }
at::Tensor Checkpoint::Stored::tensor() const { return file_ ? file_->tensor(name_) : in_memory_; }

Checkpoint Checkpoint::open(const std::string& folder, const std::string& base,
                            const std::function<std::string(const std::string&)>& rename) {
  Checkpoint checkpoint;
  checkpoint.origin_ = folder;
  const std::string single = folder + "/" + base + ".safetensors";
  const std::string index_path = single + ".index.json";
  std::error_code unreadable;  // is told when the file is opened
  const bool has_single = fs::exists(single, unreadable) || unreadable;
  const bool has_index = fs::exists(index_path, unreadable);
  // Where there are both, transformers takes the one file, and diffusers what the index names.
  if (has_single && (base == "model" || !has_index)) {
    checkpoint.add_file(single, rename);
    return checkpoint;
  }
  if (!has_index) {
    errors::throw_invalid_model(single + ": no such file, and no " + base +
                                ".safetensors.index.json");
  }
  const Json index = Json::read_file(index_path);
  const Json* weight_map = index.find("weight_map");
  if (weight_map == nullptr || !weight_map->is_object()) {
    errors::throw_invalid_model(index_path + ": key 'weight_map' must be an object");
  }
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map->object()) {
    // A shard is a file of this folder: an index must not reach elsewhere.
    if (!shard.is_string() || shard.string().empty() ||
        shard.string().find('/') != std::string::npos || shard.string() == "..") {
      errors::throw_invalid_model(index_path + ": '" + name +
                                  "' must name a file of the same folder");
    }
    shards.insert(shard.string());
  }
  for (const std::string& shard : shards) checkpoint.add_file(folder + "/" + shard, rename);
  for (const auto& [name, shard] : weight_map->object()) {
    if (!checkpoint.tensors_.contains(rename ? rename(name) : name)) {
      errors::throw_invalid_model(folder + "/" + shard.string() + ": has no tensor '" + name +
                                  "', which the index expects there");
    }
  }
  return checkpoint;
}

Checkpoint Checkpoint::open_file(const std::string& path) {
  Checkpoint checkpoint;
  checkpoint.origin_ = path;
  checkpoint.add_file(path, {});
  return checkpoint;
}

Checkpoint Checkpoint::of(std::map<std::string, at::Tensor> tensors) {
  Checkpoint checkpoint;
  checkpoint.origin_ = "memory";
  for (auto& [name, tensor] : tensors) checkpoint.tensors_.emplace(name, Stored(std::move(tensor)));
  return checkpoint;
}

void Checkpoint::add_file(const std::string& path,
                          const std::function<std::string(const std::string&)>& rename) {
  const auto file = SafetensorsFile::open(path);
  files_.push_back(file);
  for (const auto& [stored, entry] : file->entries()) {
    const std::string name = rename ? rename(stored) : stored;
    if (!tensors_.emplace(name, Stored(file, stored)).second) {
      errors::throw_invalid_model(path + ": tensor '" + stored + "' is there twice");
    }
  }
}

void Checkpoint::drop_pages(const at::Tensor& tensor) const {
  for (const auto& file : files_) file->drop_pages(tensor);
}

struct Weights::State {
  Checkpoint checkpoint;
  at::ScalarType dtype;
  at::Device device;
  Poll poll;
  std::set<std::string> taken;
  std::vector<Missing> missing;
  std::vector<std::string> mismatches;
  // Stands in, expanded, for what is missing or mis-shaped: the right shape and no memory, so that
  // construction goes on to find the other faults, whatever sizes the config claims.
  at::Tensor hollow;
};

Weights::Weights(Checkpoint checkpoint, at::ScalarType dtype, at::Device device, Poll poll)
    : state_(std::make_shared<State>(State{std::move(checkpoint),
                                           dtype,
                                           device,
                                           std::move(poll),
                                           {},
                                           {},
                                           {},
                                           at::zeros({}, at::kFloat)})) {}

Weights::Weights(std::shared_ptr<State> state, std::string prefix)
    : state_(std::move(state)), prefix_(std::move(prefix)) {}

Weights Weights::operator/(std::string_view name) const {
  return Weights(state_, prefix_ + std::string(name) + ".");
}

int64_t bytes_taken() { return taken_bytes.load(std::memory_order_relaxed); }

std::optional<at::Tensor> Weights::take(std::string_view name, at::IntArrayRef shape) const {
  if (state_->poll) state_->poll();
  const std::string full = prefix_ + std::string(name);
  const auto found = state_->checkpoint.tensors().find(full);
  if (found == state_->checkpoint.tensors().end()) {
    state_->missing.push_back({full, shape.vec()});
    return std::nullopt;
  }
  state_->taken.insert(full);
  const Checkpoint::Stored& stored = found->second;
  if (stored.shape() != shape) {
    state_->mismatches.push_back(
        c10::str("wrong shape: ", full, " is ", stored.shape(), ", expected ", shape));
    return std::nullopt;
  }
  if (!at::isFloatingType(stored.dtype())) {
    state_->mismatches.push_back(
        c10::str("wrong dtype: ", full, " is ", stored.dtype(), ", expected floating point"));
    return std::nullopt;
  }
  at::Tensor tensor = stored.tensor();
  taken_bytes.fetch_add(static_cast<int64_t>(tensor.nbytes()), std::memory_order_relaxed);
  return tensor;
}

at::Tensor Weights::get(std::string_view name, at::IntArrayRef shape) const {
  return bring(get_stored(name, shape));
}

at::Tensor Weights::bring(const at::Tensor& stored, at::MemoryFormat format) const {
  if (stored.is_alias_of(state_->hollow)) return stored;
  const auto options = at::TensorOptions(state_->device).dtype(state_->dtype);
  if (stored.options().dtype() == options.dtype() && state_->device.is_cpu() &&
      stored.is_contiguous(format)) {
    return stored;
  }
  at::Tensor brought = at::empty(stored.sizes(), options.memory_format(format));
  if (state_->device.is_cpu()) advise_huge_pages(brought.const_data_ptr(), brought.nbytes());
  brought.copy_(stored);
  state_->checkpoint.drop_pages(stored);
  return brought;
}

at::Tensor Weights::get_stored(std::string_view name, at::IntArrayRef shape) const {
  const std::optional<at::Tensor> stored = take(name, shape);
  return stored ? *stored : state_->hollow.expand(shape);
}

at::ScalarType Weights::dtype() const { return state_->dtype; }
at::Device Weights::device() const { return state_->device; }
const std::vector<Weights::Missing>& Weights::missing() const { return state_->missing; }

void Weights::finish(const std::function<bool(const std::string&)>& unused) const {
  std::vector<std::string> faults = state_->mismatches;
  for (const Missing& tensor : state_->missing) faults.push_back("missing: " + tensor.name);
  for (const auto& [name, tensor] : state_->checkpoint.tensors()) {
    if (!state_->taken.contains(name) && !(unused && unused(name)))
      faults.push_back("left over: " + name);
  }
  if (faults.empty()) return;
  std::string message = state_->checkpoint.origin() + ": the weights do not match the config: ";
  const size_t listed = std::min(faults.size(), kListedFaults);
  for (size_t i = 0; i < listed; ++i) message += (i == 0 ? "" : "; ") + faults[i];
  if (listed < faults.size())
    message += "; and " + std::to_string(faults.size() - listed) + " more";
  errors::throw_invalid_model(message);
}

}  // namespace qwen::weights
