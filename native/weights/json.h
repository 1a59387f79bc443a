#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace qwen::weights {

// A parsed JSON value. Written for hostile files (safetensors headers, config files): nesting is
// bounded, duplicate keys are errors, nothing is converted silently.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in file order

  // Throws EngineError(InvalidModel) with `origin` and the byte offset.
  static Json parse(std::string_view text, const std::string& origin);
  // Reads a whole file of at most `max_bytes`.
  static Json read_file(const std::string& path, size_t max_bytes = 64 << 20);

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }

  const Object& object() const { return std::get<Object>(value_); }
  const Array& array() const { return std::get<Array>(value_); }
  const std::string& string() const { return std::get<std::string>(value_); }
  bool boolean() const { return std::get<bool>(value_); }
  int64_t integer() const { return std::get<int64_t>(value_); }
  double number() const {
    return is_integer() ? static_cast<double>(integer()) : std::get<double>(value_);
  }

  // Null when this is no object or has no such key.
  const Json* find(std::string_view key) const;

  // As a message shows it, whatever its size: 4, 'text', [1, 2], an object.
  std::string shown() const;

 private:
  friend class JsonParser;
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

// Limits on what a config may claim: products of two dimensions and a kernel stay far from
// overflow, and a model has no more layers than can be listed.
inline constexpr int64_t kLargestDimension = 1 << 20;
inline constexpr int64_t kLargestCount = 1024;

// A config file as its readers see it: typed fields, errors that name the file and the key.
class ConfigReader {
 public:
  static ConfigReader open(const std::string& path);

  bool has(std::string_view key) const;
  // A nested object that is not empty, or nothing.
  std::optional<ConfigReader> nested(std::string_view key) const;
  // A nested object, or this one where the key is absent (flat and nested layouts of one config).
  ConfigReader nested_or_self(std::string_view key) const;

  int64_t positive(std::string_view key) const;  // 1 to kLargestDimension
  int64_t count(std::string_view key) const;     // of layers: 1 to kLargestCount
  int64_t positive(std::string_view key, int64_t fallback) const;
  double number(std::string_view key) const;
  double number(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::string text(std::string_view key, const std::string& fallback) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  std::vector<bool> flags(std::string_view key) const;
  // Refuses a configuration that the engine does not compute.
  void require_false(std::string_view key) const;
  // `rule` is what the value must be or do: `refuse("shift", "be above 0")`. What came is added.
  [[noreturn]] void refuse(std::string_view key, const std::string& rule) const;

 private:
  ConfigReader(std::string path, std::shared_ptr<const Json> file, const Json* node);
  [[noreturn]] void fail(std::string_view key, const std::string& message) const;
  const Json& at(std::string_view key) const;

  std::string path_;
  std::shared_ptr<const Json> file_;
  const Json* node_;
};

}  // namespace qwen::weights
