#include "weights/safetensors.h"

#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "errors/error.h"
#include "weights/json.h"
#include "weights/pages.h"

namespace qwen::weights {
namespace {

constexpr size_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr size_t kMaxDims = 8;

const std::map<std::string, at::ScalarType>& dtypes() {
  static const std::map<std::string, at::ScalarType> kDtypes = {
      {"F64", at::kDouble},
      {"F32", at::kFloat},
      {"F16", at::kHalf},
      {"BF16", at::kBFloat16},
      {"F8_E4M3", at::kFloat8_e4m3fn},
      {"F8_E5M2", at::kFloat8_e5m2},
      {"I64", at::kLong},
      {"I32", at::kInt},
      {"I16", at::kShort},
      {"I8", at::kChar},
      {"U8", at::kByte},
      {"BOOL", at::kBool},
  };
  return kDtypes;
}

std::string dtype_names() {
  std::string names;
  for (const auto& [name, type] : dtypes()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile(path));
  file->map();
  file->parse_header();
  file->check_coverage();
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (bytes_ != nullptr) munmap(const_cast<uint8_t*>(bytes_), size_);
}

void SafetensorsFile::fail(const std::string& what) const {
  errors::throw_invalid_model(path_ + ": " + what);
}

void SafetensorsFile::map() {
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail(std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status {};
  const bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  size_ = regular ? static_cast<size_t>(status.st_size) : 0;
  void* mapped =
      size_ > 0 ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0) : MAP_FAILED;
  const int map_errno = errno;
  close(descriptor);
  if (!regular) fail("not a regular file");
  if (size_ < 8) fail("truncated: " + std::to_string(size_) + " bytes, no room for a header");
  if (mapped == MAP_FAILED && map_errno == ENOMEM) {
    throw errors::EngineError(errors::ErrorCode::OutOfMemory,
                              "the weights cannot be mapped just now");
  }
  if (mapped == MAP_FAILED) fail(std::string("cannot be mapped: ") + std::strerror(map_errno));
  bytes_ = static_cast<const uint8_t*>(mapped);
}

void SafetensorsFile::parse_header() {
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes_, sizeof header_size);
  if (header_size > kMaxHeaderBytes) {
    fail("header of " + std::to_string(header_size) + " bytes, at most " +
         std::to_string(kMaxHeaderBytes) + " are allowed");
  }
  if (header_size > size_ - 8) {
    fail("truncated: the header says " + std::to_string(header_size) + " bytes, the file has " +
         std::to_string(size_));
  }
  data_begin_ = 8 + header_size;
  const size_t data_size = size_ - data_begin_;

  const std::string_view text(reinterpret_cast<const char*>(bytes_) + 8, header_size);
  const Json header = Json::parse(text, path_ + " (header)");
  if (!header.is_object()) fail("header is not a JSON object");
  for (const auto& [name, item] : header.object()) {
    if (name != "__metadata__") entries_.emplace(name, parse_entry(name, item, data_size));
  }
}

SafetensorsFile::Entry SafetensorsFile::parse_entry(const std::string& name, const Json& item,
                                                    size_t data_size) const {
  const Json* dtype = item.find("dtype");
  const Json* shape = item.find("shape");
  const Json* offsets = item.find("data_offsets");
  if (dtype == nullptr || !dtype->is_string() || shape == nullptr || !shape->is_array() ||
      offsets == nullptr || !offsets->is_array() || offsets->array().size() != 2) {
    fail("tensor '" + name + "' needs dtype, shape and two data_offsets");
  }
  const auto type = dtypes().find(dtype->string());
  if (type == dtypes().end()) {
    fail("tensor '" + name + "' has the unknown dtype " + dtype->shown() + ", known are " +
         dtype_names());
  }
  Entry entry{type->second, {}, 0, 0};
  const int64_t bytes = parse_shape(name, *shape, entry);

  const Json& begin = offsets->array()[0];
  const Json& end = offsets->array()[1];
  if (!begin.is_integer() || !end.is_integer() || begin.integer() < 0 ||
      end.integer() < begin.integer() || static_cast<size_t>(end.integer()) > data_size) {
    fail("truncated or lying: tensor '" + name + "' at " + offsets->shown() +
         " ends outside the file's " + std::to_string(data_size) + " bytes of data");
  }
  entry.begin = static_cast<size_t>(begin.integer());
  entry.end = static_cast<size_t>(end.integer());
  if (entry.end - entry.begin != static_cast<size_t>(bytes)) {
    fail("tensor '" + name + "' has " + std::to_string(entry.end - entry.begin) +
         " bytes, its dtype and shape need " + std::to_string(bytes));
  }
  return entry;
}

int64_t SafetensorsFile::parse_shape(const std::string& name, const Json& shape,
                                     Entry& entry) const {
  const size_t dims = shape.array().size();
  if (dims > kMaxDims) {
    fail("tensor '" + name + "' has " + std::to_string(dims) + " dimensions, at most " +
         std::to_string(kMaxDims) + " are allowed");
  }
  auto bytes = static_cast<int64_t>(c10::elementSize(entry.dtype));
  bool empty = false;
  for (const Json& dim : shape.array()) {
    if (!dim.is_integer() || dim.integer() < 0) {
      fail("tensor '" + name + "' has a bad shape: " + shape.shown() +
           ", expected integers from 0 on");
    }
    entry.shape.push_back(dim.integer());
    empty = empty || dim.integer() == 0;
    // Strides are products too, and must fit where another dimension is 0.
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(dim.integer(), 1), &bytes)) {
      fail("tensor '" + name + "' has an absurd shape: " + shape.shown());
    }
  }
  return empty ? 0 : bytes;
}

// Tensors must tile the data: an overlap would let one name alias another, a gap hides bytes.
void SafetensorsFile::check_coverage() const {
  std::vector<std::pair<const Entry*, const std::string*>> order;
  for (const auto& [name, entry] : entries_) order.emplace_back(&entry, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
  });
  size_t covered = 0;
  for (const auto& [entry, name] : order) {
    if (entry->begin < covered) fail("tensor '" + *name + "' overlaps another");
    if (entry->begin > covered) fail("bytes before tensor '" + *name + "' belong to no tensor");
    covered = entry->end;
  }
  if (covered != size_ - data_begin_) fail("bytes after the last tensor belong to no tensor");
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail("has no tensor '" + name + "'");
  const Entry& entry = found->second;
  auto* data = const_cast<uint8_t*>(bytes_ + data_begin_ + entry.begin);
  const size_t alignment = c10::elementSize(entry.dtype);
  if (reinterpret_cast<uintptr_t>(data) % alignment != 0) {
    at::Tensor copy = at::empty(entry.shape, at::TensorOptions(entry.dtype));
    std::memcpy(copy.mutable_data_ptr(), data, entry.end - entry.begin);
    drop_mapped_pages(data, entry.end - entry.begin);
    return copy;
  }
  auto owner = shared_from_this();
  return at::from_blob(
      data, entry.shape, [owner](void*) {}, at::TensorOptions(entry.dtype));
}

void SafetensorsFile::drop_pages(const at::Tensor& tensor) const {
  const auto* begin = static_cast<const uint8_t*>(tensor.storage().data());
  if (begin >= bytes_ && begin < bytes_ + size_)
    drop_mapped_pages(begin, tensor.storage().nbytes());
}

}  // namespace qwen::weights
