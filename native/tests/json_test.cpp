#include "weights/json.h"

#include "tests/expect_error.h"

namespace qwen::weights {
namespace {

using errors::ErrorCode;
using tests::expect_error;

TEST(Json, ReadsEveryKindOfValue) {
  const Json json = Json::parse(
      R"( {"a": [1, -2.5, 1e3, true, false, null, "x\n\u00e9\ud83d\ude00"], "b": {}} )", "t");
  const auto& a = json.find("a")->array();
  EXPECT_EQ(a[0].integer(), 1);
  EXPECT_DOUBLE_EQ(a[1].number(), -2.5);
  EXPECT_DOUBLE_EQ(a[2].number(), 1000);
  EXPECT_TRUE(a[3].boolean());
  EXPECT_FALSE(a[4].boolean());
  EXPECT_TRUE(a[5].is_null());
  EXPECT_EQ(a[6].string(), "x\n\xC3\xA9\xF0\x9F\x98\x80");
  EXPECT_TRUE(json.find("b")->is_object());
  EXPECT_EQ(json.find("c"), nullptr);
}

TEST(Json, RefusesHostileText) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "unexpected end"},
      {"{", "unexpected end"},
      {"{\"a\":1,\"a\":2}", "duplicate key 'a'"},
      {"[1,]", "expected a value"},
      {"{\"a\" 1}", "expected ':'"},
      {"\"\\ud800\"", "lone surrogate"},
      {"\"\\x\"", "unknown escape"},
      {"\"a\nb\"", "control character"},
      {"nul", "unknown word"},
      {"1 2", "unexpected text"},
      {"99999999999999999999", "out of range"},
      {"1e999", "bad number"},
      {"1.2.3", "bad number"},
      {"-", "expected a value"},
      {std::string(100000, '['), "nested deeper"},
  };
  for (const auto& [text, message] : cases) {
    expect_error(ErrorCode::InvalidModel, {"file.json", message},
                 [&] { Json::parse(text, "file.json"); });
  }
}

}  // namespace
}  // namespace qwen::weights
