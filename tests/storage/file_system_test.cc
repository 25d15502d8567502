#include "storage/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "storage/check.h"
#include "storage/status_macros.h"
#include "tests/support/test_directory.h"

namespace varve {
namespace {

using WriteMode = FileSystem::WriteMode;

class PosixFileSystemTest : public testing::Test {
 protected:
  std::string Path(std::string_view name) const {
    return directory_ / name;
  }
  void Write(const std::string& path, std::string_view data,
             WriteMode mode = WriteMode::kCreateOrTruncate) {
    auto file = fs_->OpenWritable(path, mode);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append(data).ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE((*file)->Close().ok());
  }
  std::string Read(const std::string& path) {
    auto data = ReadFile(fs_, path, 1 << 20);
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? *data : "";
  }

  FileSystem* fs_ = FileSystem::Posix();
  TestDirectory directory_;
};

TEST_F(PosixFileSystemTest, WriteModesKeepOrTruncate) {
  const std::string path = Path("f");
  Write(path, "hello");
  Write(path, " world", WriteMode::kAppend);
  EXPECT_EQ(Read(path), "hello world");
  Write(path, "J", WriteMode::kReuse);
  EXPECT_EQ(Read(path), "Jello world");
  Write(path, "x");
  EXPECT_EQ(Read(path), "x");
}

TEST_F(PosixFileSystemTest, AppendsManyPiecesInOrder) {
  std::vector<std::string> texts;
  std::vector<std::string_view> pieces;
  std::string expected;
  for (int i = 0; i < 200; ++i)
    texts.push_back(std::string(i % 7, 'a' + i % 26));
  for (const auto& t : texts) {
    pieces.push_back(t);
    expected += t;
  }
  auto file = fs_->OpenWritable(Path("f"), WriteMode::kCreateOrTruncate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(pieces).ok());
  EXPECT_EQ((*file)->size(), expected.size());
  EXPECT_EQ(Read(Path("f")), expected);
  ASSERT_TRUE((*file)->Truncate(3).ok());
  ASSERT_TRUE((*file)->Append("!").ok());
  EXPECT_EQ(Read(Path("f")), expected.substr(0, 3) + "!");
}

TEST_F(PosixFileSystemTest, ReadingPastTheEndIsDataLossThatNamesTheFile) {
  Write(Path("f"), "abc");
  auto file = fs_->OpenRandomAccess(Path("f"));
  ASSERT_TRUE(file.ok());
  char buffer[4];
  EXPECT_TRUE((*file)->ReadExactly(1, {buffer, 2}).ok());
  const absl::Status s = (*file)->ReadExactly(1, {buffer, 3});
  EXPECT_TRUE(absl::IsDataLoss(s));
  EXPECT_NE(Message(s).find(Path("f")), std::string_view::npos) << s;
  EXPECT_EQ(*(*file)->ReadSome(1, buffer), 2u);
  EXPECT_EQ(*(*file)->ReadSome(9, buffer), 0u);
  EXPECT_EQ(*(*file)->Size(), 3u);
}

TEST_F(PosixFileSystemTest, MissingFilesAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(fs_->OpenRandomAccess(Path("no")).status()));
  EXPECT_TRUE(absl::IsNotFound(fs_->Remove(Path("no"))));
  EXPECT_TRUE(absl::IsNotFound(fs_->List(Path("no")).status()));
  EXPECT_FALSE(*fs_->Exists(Path("no")));
  EXPECT_TRUE(RemoveRecursively(fs_, Path("no")).ok());
}

TEST_F(PosixFileSystemTest, DirectoriesAndNames) {
  ASSERT_TRUE(fs_->CreateDir(Path("a/b/c")).ok());
  ASSERT_TRUE(fs_->CreateDir(Path("a/b/c")).ok());
  Write(Path("a/f"), "1");
  EXPECT_FALSE(fs_->CreateDir(Path("a/f")).ok());
  ASSERT_TRUE(fs_->HardLink(Path("a/f"), Path("a/g")).ok());
  ASSERT_TRUE(fs_->Rename(Path("a/f"), Path("a/h")).ok());
  ASSERT_TRUE(fs_->SyncDir(Path("a")).ok());
  auto entries = fs_->List(Path("a"));
  ASSERT_TRUE(entries.ok());
  std::sort(entries->begin(), entries->end(),
            [](const auto& x, const auto& y) { return x.name < y.name; });
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "b");
  EXPECT_TRUE((*entries)[0].is_directory);
  EXPECT_EQ((*entries)[1].name, "g");
  EXPECT_EQ((*entries)[1].size, 1u);
  EXPECT_EQ((*entries)[2].name, "h");
  EXPECT_FALSE(fs_->RemoveDir(Path("a")).ok());
  EXPECT_TRUE(RemoveRecursively(fs_, Path("a")).ok());
  EXPECT_FALSE(*fs_->Exists(Path("a")));
}

TEST_F(PosixFileSystemTest, ALockIsHeldOnce) {
  auto lock = fs_->Lock(Path("lock"));
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(fs_->Lock(Path("lock")).status()));
  lock->reset();
  EXPECT_TRUE(fs_->Lock(Path("lock")).ok());
}

TEST_F(PosixFileSystemTest, ReadFileHasALimit) {
  Write(Path("f"), "12345");
  EXPECT_EQ(*ReadFile(fs_, Path("f"), 5), "12345");
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(fs_, Path("f"), 4).status()));
}

TEST_F(PosixFileSystemTest, WriteFileAtomicallyReplaces) {
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("f"), "old").ok());
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("f"), "new").ok());
  EXPECT_EQ(Read(Path("f")), "new");
  EXPECT_EQ(fs_->List(directory_.path())->size(), 1u);
}

TEST_F(PosixFileSystemTest, ReservedRoomIsBehindTheEndUntilClosed) {
  const auto room = [&] {
    struct stat info;
    VARVE_CHECK(::stat(Path("f").c_str(), &info) == 0);
    return info.st_blocks * 512;
  };
  auto file = fs_->OpenWritable(Path("f"), WriteMode::kCreateOrTruncate);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append("some").ok());
  ASSERT_TRUE((*file)->Reserve(1 << 20).ok());
  EXPECT_EQ((*file)->size(), 4u);
  EXPECT_EQ(Read(Path("f")), "some");
  const auto reserved = room();
  ASSERT_TRUE((*file)->Append(" bytes").ok());
  ASSERT_TRUE((*file)->Close().ok());
  EXPECT_EQ(Read(Path("f")), "some bytes");
  EXPECT_LT(room(), 1 << 20);
  if (reserved < 1 << 20) GTEST_SKIP() << "not on this file system";
}

TEST_F(PosixFileSystemTest, FreeBytesIsPositive) {
  EXPECT_GT(*fs_->FreeBytes(directory_.path()), 0u);
}

TEST_F(PosixFileSystemTest, AFullDeviceIsResourceExhausted) {
  auto file = fs_->OpenWritable("/dev/full", WriteMode::kReuse);
  if (!file.ok()) GTEST_SKIP() << file.status();
  EXPECT_TRUE(absl::IsResourceExhausted((*file)->Append("x")));
}

}  // namespace
}  // namespace varve
