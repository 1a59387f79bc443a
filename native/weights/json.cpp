#include "weights/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unordered_set>

#include "errors/error.h"

namespace qwen::weights {

using errors::throw_invalid_model;

namespace {
constexpr int kMaxDepth = 64;
}

class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& origin) : text_(text), origin_(origin) {}

  Json document() {
    Json value = parse_value(0);
    skip_space();
    if (at_ != text_.size()) fail("unexpected text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw_invalid_model(origin_ + ": not valid JSON at byte " + std::to_string(at_) + ": " + what);
  }

  void skip_space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
  }

  char peek() const {
    if (at_ >= text_.size()) fail("unexpected end");
    return text_[at_];
  }

  void expect(char c) {
    if (peek() != c) fail(std::string("expected '") + c + "'");
    ++at_;
  }

  bool accept(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }

  Json parse_value(int depth) {
    if (depth > kMaxDepth) fail("nested deeper than " + std::to_string(kMaxDepth));
    skip_space();
    Json json;
    switch (peek()) {
      case '{':
        json.value_ = parse_object(depth);
        break;
      case '[':
        json.value_ = parse_array(depth);
        break;
      case '"':
        json.value_ = parse_string();
        break;
      case 't':
        literal("true");
        json.value_ = true;
        break;
      case 'f':
        literal("false");
        json.value_ = false;
        break;
      case 'n':
        literal("null");
        break;
      default:
        parse_number(json);
    }
    return json;
  }

  void literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) fail("unknown word");
    at_ += word.size();
  }

  Json::Object parse_object(int depth) {
    expect('{');
    Json::Object object;
    std::unordered_set<std::string> keys;
    skip_space();
    if (accept('}')) return object;
    do {
      skip_space();
      std::string key = parse_string();
      if (!keys.insert(key).second) fail("duplicate key '" + key + "'");
      skip_space();
      expect(':');
      object.emplace_back(std::move(key), parse_value(depth + 1));
      skip_space();
    } while (accept(','));
    expect('}');
    return object;
  }

  Json::Array parse_array(int depth) {
    expect('[');
    Json::Array array;
    skip_space();
    if (accept(']')) return array;
    do {
      array.push_back(parse_value(depth + 1));
      skip_space();
    } while (accept(','));
    expect(']');
    return array;
  }

  std::string parse_string() {
    expect('"');
    std::string out;
    while (true) {
      const char c = peek();
      ++at_;
      if (c == '"') return out;
      if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
      if (c != '\\') {
        out += c;
        continue;
      }
      const char escape = peek();
      ++at_;
      switch (escape) {
        case '"':
        case '\\':
        case '/':
          out += escape;
          break;
        case 'b':
          out += '\b';
          break;
        case 'f':
          out += '\f';
          break;
        case 'n':
          out += '\n';
          break;
        case 'r':
          out += '\r';
          break;
        case 't':
          out += '\t';
          break;
        case 'u':
          append_utf8(out, parse_code_point());
          break;
        default:
          fail("unknown escape");
      }
    }
  }

  uint32_t parse_hex4() {
    const std::string_view digits = text_.substr(at_, 4);
    uint32_t unit = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4)
      fail("bad \\u escape");
    at_ += 4;
    return unit;
  }

  uint32_t parse_code_point() {
    const uint32_t unit = parse_hex4();
    if (unit < 0xD800 || unit > 0xDFFF) return unit;
    if (unit > 0xDBFF || !accept('\\') || !accept('u')) fail("lone surrogate");
    const uint32_t low = parse_hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("lone surrogate");
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  }

  static void append_utf8(std::string& out, uint32_t code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  void parse_number(Json& json) {
    const size_t start = at_;
    if (accept('-') && at_ >= text_.size()) fail("expected a value");
    bool integer = true;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '.' || c == 'e' || c == 'E' || c == '+' || (c == '-' && at_ > start)) {
        integer = false;
      } else if (c < '0' || c > '9') {
        break;
      }
      ++at_;
    }
    const std::string_view digits = text_.substr(start, at_ - start);
    const char* end = digits.data() + digits.size();
    if (digits.empty()) fail("expected a value");
    if (integer) {
      int64_t value = 0;
      const auto [stop, error] = std::from_chars(digits.data(), end, value);
      if (error != std::errc() || stop != end) fail("integer out of range");
      json.value_ = value;
      return;
    }
    double value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc() || stop != end || !std::isfinite(value)) fail("bad number");
    json.value_ = value;
  }

  std::string_view text_;
  const std::string& origin_;
  size_t at_ = 0;
};

Json Json::parse(std::string_view text, const std::string& origin) {
  return JsonParser(text, origin).document();
}

Json Json::read_file(const std::string& path, size_t max_bytes) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw_invalid_model(path + ": cannot be read: " + error.message());
  if (size > max_bytes) {
    throw_invalid_model(path + ": " + std::to_string(size) + " bytes, at most " +
                        std::to_string(max_bytes) + " are read");
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    throw_invalid_model(path + ": cannot be read");
  }
  return parse(text, path);
}

std::string Json::shown() const {
  constexpr size_t kMaxBytes = 100, kMaxItems = 8;
  if (is_object()) return "an object";
  if (is_null()) return "null";
  if (is_bool()) return boolean() ? "true" : "false";
  if (is_string()) {
    const std::string& text = string();
    size_t end = std::min(text.size(), kMaxBytes);
    // Not within a UTF-8 character.
    while (end > 0 && end < text.size() && (text[end] & 0xC0) == 0x80) --end;
    std::string quoted = "'";
    quoted.append(text, 0, end);
    return quoted += end < text.size() ? "…'" : "'";
  }
  if (is_number()) {
    std::ostringstream out;
    is_integer() ? out << integer() : out << number();
    return out.str();
  }
  const size_t count = array().size();
  std::string items;
  for (size_t i = 0; i < std::min(count, kMaxItems); ++i) {
    items += (i == 0 ? "" : ", ") + (array()[i].is_array() ? "a list" : array()[i].shown());
  }
  return "[" + items + (count > kMaxItems ? ", …] of " + std::to_string(count) : "]");
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : object()) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace qwen::weights
