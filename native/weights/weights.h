#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "weights/safetensors.h"

namespace qwen::weights {

// The tensors of one component folder: `<base>.safetensors`, or the shards named by
// `<base>.safetensors.index.json`. `base` is `model` (transformers) or `diffusion_pytorch_model`
// (diffusers); where a folder has both, each is read as its library reads it.
class Checkpoint final {
 public:
  // `rename` maps a stored name to the name the model asks for.
  static Checkpoint open(const std::string& folder, const std::string& base,
                         const std::function<std::string(const std::string&)>& rename = {});
  // One file, as it is.
  static Checkpoint open_file(const std::string& path);
  // Tensors that are in memory already.
  static Checkpoint of(std::map<std::string, at::Tensor> tensors);

  // Where a tensor is, and what is known of it before any of it is read.
  class Stored final {
   public:
    Stored(std::shared_ptr<const SafetensorsFile> file, std::string name);
    explicit Stored(at::Tensor in_memory) : in_memory_(std::move(in_memory)) {}

    at::ScalarType dtype() const;
    at::IntArrayRef shape() const;
    int64_t numel() const;
    at::Tensor tensor() const;  // see SafetensorsFile

   private:
    const SafetensorsFile::Entry& entry() const { return file_->entries().at(name_); }

    std::shared_ptr<const SafetensorsFile> file_;  // null where the tensor is in memory
    std::string name_;
    at::Tensor in_memory_;
  };

  const std::string& origin() const { return origin_; }
  const std::map<std::string, Stored>& tensors() const& { return tensors_; }
  void tensors() && = delete;                       // the map would die with the temporary
  void drop_pages(const at::Tensor& tensor) const;  // see SafetensorsFile

 private:
  void add_file(const std::string& path,
                const std::function<std::string(const std::string&)>& rename);

  std::string origin_;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::map<std::string, Stored> tensors_;
};

// Called between the tensors of a model that is being built: it may throw to end that.
using Poll = std::function<void()>;

// A place in a checkpoint: `w / "attn" / "to_q"` prefixes names. Taking a tensor checks its shape,
// marks the name as taken and brings it to the scope's dtype and device. Copies share what was
// taken and what was missing.
class Weights final {
 public:
  Weights(Checkpoint checkpoint, at::ScalarType dtype, at::Device device, Poll poll = {});

  Weights operator/(std::string_view name) const;
  Weights operator/(int64_t index) const { return *this / std::to_string(index); }

  // In the scope's dtype, on its device. A stored tensor of that dtype on a CPU is not copied. A
  // missing or mis-shaped tensor is noted for `finish`, which reports all of them together.
  at::Tensor get(std::string_view name, at::IntArrayRef shape) const;
  // In the dtype it is stored in, on the CPU: for tables of which only few rows are read.
  at::Tensor get_stored(std::string_view name, at::IntArrayRef shape) const;
  // A stored tensor, or a part of one, in the scope's dtype, on its device and in this memory
  // format. Once it has been copied, its mapped pages are given back: they can be read again, and
  // no longer count as memory.
  at::Tensor bring(const at::Tensor& stored,
                   at::MemoryFormat format = at::MemoryFormat::Contiguous) const;

  at::ScalarType dtype() const;
  at::Device device() const;

  struct Missing {
    std::string name;
    std::vector<int64_t> shape;
  };
  // What was asked for and is not there.
  const std::vector<Missing>& missing() const;

  // Throws EngineError(InvalidModel) that lists missing, mis-shaped and left-over names: the first
  // of them, and how many more there are. Names for which `unused` is true are parts of the
  // checkpoint that the engine knows and has no use for.
  void finish(const std::function<bool(const std::string&)>& unused = {}) const;

 private:
  struct State;
  Weights(std::shared_ptr<State> state, std::string prefix);
  std::optional<at::Tensor> take(std::string_view name, at::IntArrayRef shape) const;

  std::shared_ptr<State> state_;
  std::string prefix_;  // ends in '.' unless empty
};

// Bytes of stored tensors that models have been built from since the process began: how far a load
// is. May be read from any thread.
int64_t bytes_taken();

}  // namespace qwen::weights
