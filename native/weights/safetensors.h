#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qwen::weights {

class Json;

// A safetensors file, memory-mapped and read only: 8 bytes little-endian header size, a JSON header
// `{name: {dtype, shape, data_offsets}}`, then the data. The file is untrusted: everything in the
// header is checked against the file before a tensor can be made from it.
class SafetensorsFile final : public std::enable_shared_from_this<SafetensorsFile> {
 public:
  // Throws EngineError(InvalidModel) naming the file and what is wrong with it.
  static std::shared_ptr<const SafetensorsFile> open(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  struct Entry {
    at::ScalarType dtype;
    std::vector<int64_t> shape;
    size_t begin;  // bytes from the start of the data
    size_t end;
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }

  // The tensor as stored (dtype and shape of the file), without a copy: it keeps the mapping alive.
  // Its memory is read-only. A tensor that is misaligned for its dtype is copied at each call.
  at::Tensor tensor(const std::string& name) const;

  // Gives back the resident pages behind a tensor of this file, if it is one of its mapping; they
  // are read again when touched.
  void drop_pages(const at::Tensor& tensor) const;

 private:
  explicit SafetensorsFile(std::string path) : path_(std::move(path)) {}
  void map();
  void parse_header();
  Entry parse_entry(const std::string& name, const Json& item, size_t data_size) const;
  // Fills in the shape; gives the bytes that dtype and shape need.
  int64_t parse_shape(const std::string& name, const Json& shape, Entry& entry) const;
  void check_coverage() const;
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_;
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  size_t data_begin_ = 0;
  std::map<std::string, Entry> entries_;
};

}  // namespace qwen::weights
