#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "storage/file_system.h"

namespace varve {

/// A directory of this test's own below the temporary one, removed with the
/// object. Its name is never used twice: CTest runs the cases of one fixture
/// side by side, each in a process of its own.
class TestDirectory {
 public:
  TestDirectory() : path_(testing::TempDir() + "varve_test_XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
    EXPECT_FALSE(path_.empty()) << "no directory in " << testing::TempDir();
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  /// Without a slash at its end.
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

/// Writes a whole file as a careful editor does: beside it, then renamed.
inline void WriteTestFile(const std::string& path, std::string_view text) {
  ASSERT_TRUE(WriteFileAtomically(FileSystem::Posix(), path, text).ok());
}

}  // namespace varve
