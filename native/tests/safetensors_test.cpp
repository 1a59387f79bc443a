#include "weights/safetensors.h"

#include <ATen/ATen.h>

#include "tests/expect_error.h"
#include "tests/temporary_folder.h"

namespace qwen::weights {
namespace {

using errors::ErrorCode;
using tests::expect_error;
using tests::safetensors;
using tests::TemporaryFolder;

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   size_t begin, size_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

TEST(Safetensors, ReadsTensorsWithoutACopy) {
  const TemporaryFolder folder;
  const float values[] = {1.5f, -2.0f, 3.25f, 0.0f};
  const std::string data(reinterpret_cast<const char*>(values), sizeof values);
  // Padded with spaces to a multiple of 8, as writers do.
  std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"}," + tensor("w", "F32", "[2,2]", 0, 16) + "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  at::Tensor w;
  {
    const auto file =
        SafetensorsFile::open(folder.write("m.safetensors", safetensors(header, data)));
    w = file->tensor("w");
    EXPECT_EQ(w.const_data_ptr(), file->tensor("w").const_data_ptr());
    EXPECT_FALSE(file->entries().contains("__metadata__"));
  }
  // The tensor keeps the mapping alive.
  EXPECT_TRUE(w.equal(at::tensor({1.5f, -2.0f, 3.25f, 0.0f}).view({2, 2})));
}

TEST(Safetensors, ReadsHalvesFloat8AndMisalignedData) {
  const TemporaryFolder folder;
  const auto bf16 = at::tensor({1.0f, -3.0f}).to(at::kBFloat16);
  const auto f8 = at::tensor({0.5f}).to(at::kFloat8_e4m3fn);
  std::string data(static_cast<const char*>(f8.const_data_ptr()), 1);
  data += std::string(static_cast<const char*>(bf16.const_data_ptr()), 4);
  // An odd header length puts the bf16 values on odd addresses.
  for (const std::string padding : {"", " "}) {
    const std::string header = "{" + tensor("f8", "F8_E4M3", "[1]", 0, 1) + "," +
                               tensor("b", "BF16", "[2]", 1, 5) + "}" + padding;
    const auto file =
        SafetensorsFile::open(folder.write("m.safetensors", safetensors(header, data)));
    EXPECT_TRUE(file->tensor("b").equal(bf16));
    EXPECT_FLOAT_EQ(file->tensor("f8").to(at::kFloat).item<float>(), 0.5f);
  }
}

TEST(Safetensors, FollowsSymbolicLinks) {
  const TemporaryFolder folder;
  folder.write("blobs/abc", safetensors("{" + tensor("w", "U8", "[1]", 0, 1) + "}", "\x07"));
  std::filesystem::create_directory(folder.path() + "/snapshot");
  const std::string link = folder.path() + "/snapshot/model.safetensors";
  std::filesystem::create_symlink("../blobs/abc", link);
  EXPECT_EQ(SafetensorsFile::open(link)->tensor("w").item<int>(), 7);
}

TEST(Safetensors, RefusesHostileFiles) {
  const TemporaryFolder folder;
  const std::string eight(8, 'x');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "truncated"},
      {"1234567", "truncated"},
      {safetensors(std::string(50, ' '), "").substr(0, 30), "truncated"},
      {std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + eight, "at most"},
      {std::string("\xff\xff\xff\x00\x00\x00\x00\x00", 8) + eight, "truncated"},
      {safetensors("[]", ""), "not a JSON object"},
      {safetensors("{\"w\":{}}", ""), "needs dtype, shape"},
      {safetensors("{" + tensor("w", "Q9", "[8]", 0, 8) + "}", eight),
       "unknown dtype 'Q9', known are BF16, BOOL, "},
      {safetensors("{" + tensor("w", "U8", "[-8]", 0, 8) + "}", eight), "bad shape: [-8]"},
      {safetensors("{" + tensor("w", "U8", "[8.5]", 0, 8) + "}", eight), "bad shape: [8.5]"},
      {safetensors("{" + tensor("w", "U8", "[4294967296,4294967296,4294967296]", 0, 8) + "}",
                   eight),
       "absurd shape"},
      {safetensors("{" + tensor("w", "F32", "[0,4611686018427387904,4]", 0, 0) + "}", ""),
       "absurd shape"},
      {safetensors("{" + tensor("w", "U8", "[1,1,1,1,1,1,1,1,8]", 0, 8) + "}", eight),
       "has 9 dimensions, at most 8"},
      {safetensors("{" + tensor("w", "U8", "[9]", 0, 9) + "}", eight),
       "'w' at [0, 9] ends outside"},
      {safetensors("{" + tensor("w", "U8", "[8]", 8, 0) + "}", eight),
       "'w' at [8, 0] ends outside"},
      {safetensors("{" + tensor("w", "F32", "[3]", 0, 8) + "}", eight),
       "its dtype and shape need 12"},
      {safetensors(
           "{" + tensor("a", "U8", "[8]", 0, 8) + "," + tensor("b", "U8", "[4]", 4, 8) + "}",
           eight),
       "overlaps"},
      {safetensors(
           "{" + tensor("a", "U8", "[2]", 0, 2) + "," + tensor("b", "U8", "[4]", 4, 8) + "}",
           eight),
       "belong to no tensor"},
      {safetensors("{" + tensor("a", "U8", "[4]", 0, 4) + "}", eight), "belong to no tensor"},
      {safetensors(
           "{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("a", "U8", "[4]", 4, 8) + "}",
           eight),
       "duplicate key 'a'"},
  };
  for (const auto& [bytes, message] : cases) {
    const std::string path = folder.write("m.safetensors", bytes);
    expect_error(ErrorCode::InvalidModel, {"m.safetensors", message},
                 [&] { SafetensorsFile::open(path); });
  }
  expect_error(ErrorCode::InvalidModel, {"nowhere.safetensors", "cannot be opened"},
               [&] { SafetensorsFile::open(folder.path() + "/nowhere.safetensors"); });
  expect_error(ErrorCode::InvalidModel, {"not a regular file"},
               [&] { SafetensorsFile::open(folder.path()); });
}

// Every single corrupted byte of a header is either harmless or an EngineError, never a crash.
TEST(Safetensors, SurvivesEveryFlippedHeaderByte) {
  const TemporaryFolder folder;
  const std::string good = safetensors(
      "{" + tensor("a", "F32", "[2,3]", 0, 24) + "," + tensor("b", "BF16", "[4]", 24, 32) + "}",
      std::string(32, 'x'));
  int opened = 0;
  for (size_t at = 0; at < good.size() - 32; ++at) {
    for (const int flip : {1, 2, 16, 128}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      try {
        const auto file = SafetensorsFile::open(folder.write("m.safetensors", bad));
        for (const auto& [name, entry] : file->entries()) file->tensor(name).to(at::kFloat).sum();
        ++opened;
      } catch (const errors::EngineError&) {
      }
    }
  }
  EXPECT_GT(opened, 0);  // a flipped letter of a name is legal
}

}  // namespace
}  // namespace qwen::weights
