#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace qwen::tests {

// A folder of its own for a test, removed at the end.
class TemporaryFolder final {
 public:
  TemporaryFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "qwen-test-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string file = path_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

  // A writable copy of a folder.
  std::string copy(const std::string& from, const std::string& name) const {
    const std::string to = path_ + "/" + name;
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
    return to;
  }

 private:
  std::string path_;
};

// The bytes of a safetensors file with this header and data.
inline std::string safetensors(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const auto size = static_cast<uint64_t>(header.size());
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(size >> (8 * i));
  return bytes + header + data;
}

// Overwrites the data of every safetensors file in a folder: all bits set is a NaN in every dtype.
inline void fill_with_nan(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    uint64_t header = 0;
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    const uint64_t data = sizeof header + header;
    file.seekp(static_cast<std::streamoff>(data));
    file << std::string(entry.file_size() - data, '\xff');
  }
}

}  // namespace qwen::tests
