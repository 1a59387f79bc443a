#include "errors/error.h"
#include "weights/json.h"

namespace qwen::weights {

ConfigReader::ConfigReader(std::string path, std::shared_ptr<const Json> file, const Json* node)
    : path_(std::move(path)), file_(std::move(file)), node_(node) {}

ConfigReader ConfigReader::open(const std::string& path) {
  auto file = std::make_shared<const Json>(Json::read_file(path));
  if (!file->is_object()) errors::throw_invalid_model(path + ": expected a JSON object");
  const Json* node = file.get();
  return ConfigReader(path, std::move(file), node);
}

void ConfigReader::fail(std::string_view key, const std::string& message) const {
  errors::throw_invalid_model(path_ + ": key '" + std::string(key) + "' " + message);
}

void ConfigReader::refuse(std::string_view key, const std::string& rule) const {
  const Json* value = node_->find(key);
  fail(key, "must " + rule + (value == nullptr ? "" : ", is " + value->shown()));
}

bool ConfigReader::has(std::string_view key) const {
  const Json* value = node_->find(key);
  return value != nullptr && !value->is_null();
}

std::optional<ConfigReader> ConfigReader::nested(std::string_view key) const {
  const Json* value = node_->find(key);
  if (value == nullptr || !value->is_object() || value->object().empty()) return std::nullopt;
  return ConfigReader(path_, file_, value);
}

ConfigReader ConfigReader::nested_or_self(std::string_view key) const {
  const Json* value = node_->find(key);
  return value != nullptr && value->is_object() ? ConfigReader(path_, file_, value) : *this;
}

const Json& ConfigReader::at(std::string_view key) const {
  if (!has(key)) fail(key, "is missing");
  return *node_->find(key);
}

int64_t ConfigReader::positive(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_integer() || value.integer() < 1 || value.integer() > kLargestDimension) {
    refuse(key, "be an integer from 1 to " + std::to_string(kLargestDimension));
  }
  return value.integer();
}

int64_t ConfigReader::count(std::string_view key) const {
  const int64_t value = positive(key);
  if (value > kLargestCount) refuse(key, "be at most " + std::to_string(kLargestCount));
  return value;
}

int64_t ConfigReader::positive(std::string_view key, int64_t fallback) const {
  return has(key) ? positive(key) : fallback;
}

double ConfigReader::number(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_number()) refuse(key, "be a number");
  return value.number();
}

double ConfigReader::number(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool ConfigReader::flag(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = at(key);
  if (!value.is_bool()) refuse(key, "be true or false");
  return value.boolean();
}

std::string ConfigReader::text(std::string_view key, const std::string& fallback) const {
  if (!has(key)) return fallback;
  const Json& value = at(key);
  if (!value.is_string()) refuse(key, "be a string");
  return value.string();
}

std::vector<int64_t> ConfigReader::integers(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_array()) refuse(key, "be a list of integers");
  std::vector<int64_t> result;
  for (const Json& item : value.array()) {
    if (!item.is_integer()) refuse(key, "be a list of integers");
    result.push_back(item.integer());
  }
  return result;
}

std::vector<double> ConfigReader::numbers(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_array()) refuse(key, "be a list of numbers");
  std::vector<double> result;
  for (const Json& item : value.array()) {
    if (!item.is_number()) refuse(key, "be a list of numbers");
    result.push_back(item.number());
  }
  return result;
}

std::vector<bool> ConfigReader::flags(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_array()) refuse(key, "be a list of true and false");
  std::vector<bool> result;
  for (const Json& item : value.array()) {
    if (!item.is_bool()) refuse(key, "be a list of true and false");
    result.push_back(item.boolean());
  }
  return result;
}

void ConfigReader::require_false(std::string_view key) const {
  if (flag(key, false)) fail(key, "is true, which this engine does not compute");
}

}  // namespace qwen::weights
