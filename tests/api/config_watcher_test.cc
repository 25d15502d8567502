#include "api/config_watcher.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "storage/file_system.h"

namespace varve {
namespace {

namespace fs = std::filesystem;

std::string TempDir(const std::string& name) {
  const std::string dir = testing::TempDir() + "varve_watch_" + name;
  fs::remove_all(dir);
  fs::create_directories(dir);
  return dir;
}

void Write(const std::string& path, std::string_view text) {
  ASSERT_TRUE(WriteFileAtomically(FileSystem::Posix(), path, text).ok());
}

TEST(ConfigWatcher, NoticesNewContentOnce) {
  const std::string dir = TempDir("content");
  Write(dir + "/p.yml", "a");
  ConfigWatcher watcher({dir + "/p.yml"});
  EXPECT_FALSE(watcher.Poll());
  Write(dir + "/p.yml", "b");
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
  Write(dir + "/p.yml", "b");  // another inode, the same bytes
  EXPECT_FALSE(watcher.Poll());
}

TEST(ConfigWatcher, WaitsForAFileThatIsAway) {
  const std::string dir = TempDir("away");
  Write(dir + "/p.yml", "a");
  ConfigWatcher watcher({dir + "/p.yml"});
  fs::remove(dir + "/p.yml");
  EXPECT_FALSE(watcher.Poll());
  Write(dir + "/p.yml", "a");
  EXPECT_FALSE(watcher.Poll());
  fs::remove(dir + "/p.yml");
  EXPECT_FALSE(watcher.Poll());
  Write(dir + "/p.yml", "b");
  EXPECT_TRUE(watcher.Poll());
}

// Kubernetes: p.yml -> ..data/p.yml, ..data -> ..2026_1, and an update swaps
// ..data by a rename. The visible link never changes.
TEST(ConfigWatcher, NoticesASwappedConfigMap) {
  const std::string dir = TempDir("configmap");
  fs::create_directories(dir + "/..v1");
  fs::create_directories(dir + "/..v2");
  Write(dir + "/..v1/p.yml", "a");
  Write(dir + "/..v2/p.yml", "b");
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
  const std::string dir = TempDir("pattern");
  Write(dir + "/p.yml", "a");
  ConfigWatcher watcher({dir + "/p.yml", dir + "/jobs*.yml"});
  EXPECT_FALSE(watcher.Poll());
  Write(dir + "/jobs1.yml", "x");
  EXPECT_TRUE(watcher.Poll());
  fs::remove(dir + "/jobs1.yml");
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
}

}  // namespace
}  // namespace varve
