#include "engine/control_group.h"

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace qwen::engine {
namespace {

using tests::TemporaryFolder;

// The least limit that binds a process, for both versions of control groups and as containers show
// them.
class ControlGroup : public testing::Test {
 protected:
  std::optional<int64_t> limit_in(const std::string& membership) const {
    return control_group_memory_limit(folder_.write("membership", membership),
                                      folder_.path() + "/mount");
  }
  void limit(const std::string& file, const std::string& value) const {
    folder_.write("mount/" + file, value + "\n");
  }
  const TemporaryFolder folder_;
};

TEST_F(ControlGroup, OfAServiceOnTheMachineItself) {
  EXPECT_EQ(limit_in("0::/system.slice/draws.service\n"), std::nullopt);
  limit("system.slice/memory.max", "max");
  limit("system.slice/draws.service/memory.max", "2000000000");
  EXPECT_EQ(limit_in("0::/system.slice/draws.service\n"), 2'000'000'000);
  EXPECT_EQ(limit_in("0::/system.slice\n"), std::nullopt);
}

TEST_F(ControlGroup, MayBeThatOfAGroupAbove) {
  limit("a/memory.max", "1000000000");
  limit("a/b/memory.max", "3000000000");
  limit("a/b/c/memory.max", "max");
  EXPECT_EQ(limit_in("0::/a/b/c\n"), 1'000'000'000);
}

TEST_F(ControlGroup, OfAContainerWithAHierarchyOfItsOwn) {
  limit("memory.max", "4000000000");
  EXPECT_EQ(limit_in("0::/\n"), 4'000'000'000);
  // The machine's path of the group, of which only the top is mounted.
  EXPECT_EQ(limit_in("0::/docker/0123\n"), 4'000'000'000);
}

TEST_F(ControlGroup, OfTheFirstVersion) {
  const std::string lines = "5:cpu,cpuacct:/else\n4:memory:/pod/one\n0::/\n";
  limit("memory/memory.limit_in_bytes", "9223372036854771712");  // none
  EXPECT_EQ(limit_in(lines), 9223372036854771712);
  limit("memory/pod/one/memory.limit_in_bytes", "5000000000");
  EXPECT_EQ(limit_in(lines), 5'000'000'000);
  limit("memory/else/memory.limit_in_bytes", "1");
  limit("memory/pod/memory.limit_in_bytes", "4000000000");
  EXPECT_EQ(limit_in(lines), 4'000'000'000);
}

TEST_F(ControlGroup, IsNoneWhereNothingSaysSo) {
  EXPECT_EQ(limit_in(""), std::nullopt);
  EXPECT_EQ(limit_in("memory\n0:\n::\n"), std::nullopt);
  EXPECT_EQ(control_group_memory_limit(folder_.path() + "/nothing", folder_.path()), std::nullopt);
}

}  // namespace
}  // namespace qwen::engine
