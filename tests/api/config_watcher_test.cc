#include "api/config_watcher.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/test_directory.h"

namespace varve {
namespace {

namespace fs = std::filesystem;

TEST(ConfigWatcher, NoticesNewContentOnce) {
  const TestDirectory directory;
  const std::string& dir = directory.path();
  WriteTestFile(dir + "/p.yml", "a");
  ConfigWatcher watcher({dir + "/p.yml"});
  EXPECT_FALSE(watcher.Poll());
  WriteTestFile(dir + "/p.yml", "b");
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
  WriteTestFile(dir + "/p.yml", "b");  // another inode, the same bytes
  EXPECT_FALSE(watcher.Poll());
}

TEST(ConfigWatcher, WaitsForAFileThatIsAway) {
  const TestDirectory directory;
  const std::string& dir = directory.path();
  WriteTestFile(dir + "/p.yml", "a");
  ConfigWatcher watcher({dir + "/p.yml"});
  fs::remove(dir + "/p.yml");
  EXPECT_FALSE(watcher.Poll());
  WriteTestFile(dir + "/p.yml", "a");
  EXPECT_FALSE(watcher.Poll());
  fs::remove(dir + "/p.yml");
  EXPECT_FALSE(watcher.Poll());
  WriteTestFile(dir + "/p.yml", "b");
  EXPECT_TRUE(watcher.Poll());
}

// Kubernetes: p.yml -> ..data/p.yml, ..data -> ..2026_1, and an update swaps
// ..data by a rename. The visible link never changes.
TEST(ConfigWatcher, NoticesASwappedConfigMap) {
  const TestDirectory directory;
  const std::string& dir = directory.path();
  fs::create_directories(dir + "/..v1");
  fs::create_directories(dir + "/..v2");
  WriteTestFile(dir + "/..v1/p.yml", "a");
  WriteTestFile(dir + "/..v2/p.yml", "b");
  // The same time and size: only the path tells them apart.
  fs::last_write_time(dir + "/..v2/p.yml",
                      fs::last_write_time(dir + "/..v1/p.yml"));
  fs::create_directory_symlink("..v1", dir + "/..data");
  fs::create_symlink("..data/p.yml", dir + "/p.yml");
  ConfigWatcher watcher({dir + "/p.yml"});
  EXPECT_FALSE(watcher.Poll());
  fs::create_directory_symlink("..v2", dir + "/..data_tmp");
  fs::rename(dir + "/..data_tmp", dir + "/..data");
  fs::remove_all(dir + "/..v1");
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
}

TEST(ConfigWatcher, PatternsNoticeFilesThatComeAndGo) {
  const TestDirectory directory;
  const std::string& dir = directory.path();
  WriteTestFile(dir + "/p.yml", "a");
  ConfigWatcher watcher({dir + "/p.yml", dir + "/jobs*.yml"});
  EXPECT_FALSE(watcher.Poll());
  WriteTestFile(dir + "/jobs1.yml", "x");
  EXPECT_TRUE(watcher.Poll());
  fs::remove(dir + "/jobs1.yml");
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
}

}  // namespace
}  // namespace varve
