#include "tests/support/fault_file_system.h"

#include <gtest/gtest.h>

#include <set>

#include "storage/status_macros.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

using WriteMode = FileSystem::WriteMode;

std::unique_ptr<WritableFile> Open(
    FileSystem* fs, const std::string& path,
    WriteMode mode = WriteMode::kCreateOrTruncate) {
  auto file = fs->OpenWritable(path, mode);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

/// The file's text, or "-" if there is no such file.
std::string Text(FileSystem& fs, const std::string& path) {
  auto data = ReadFile(&fs, path, 1 << 20);
  return data.ok() ? *data : "-";
}

TEST(MemoryFileSystem, ForgetsBytesThatWereNotSynced) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDir("d").ok());
  auto file = Open(&fs, "d/f");
  ASSERT_TRUE(file->Append("synced").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(fs.SyncDir("d").ok());
  ASSERT_TRUE(file->Append(" lost").ok());
  EXPECT_EQ(Text(fs, "d/f"), "synced lost");
  EXPECT_EQ(Text(*fs.CrashImage(), "d/f"), "synced");
  EXPECT_EQ(Text(*fs.KillImage(), "d/f"), "synced lost");
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(Text(*fs.CrashImage(), "d/f"), "synced lost");
}

TEST(MemoryFileSystem, ForgetsOverwritesAndTruncations) {
  MemoryFileSystem fs;
  auto file = Open(&fs, "f");
  ASSERT_TRUE(file->Append("abcdef").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(fs.SyncDir("/").ok());
  auto again = Open(&fs, "f", WriteMode::kReuse);
  ASSERT_TRUE(again->Append("XY").ok());
  EXPECT_EQ(Text(fs, "f"), "XYcdef");
  EXPECT_EQ(Text(*fs.CrashImage(), "f"), "abcdef");
  ASSERT_TRUE(again->Truncate(1).ok());
  EXPECT_EQ(Text(*fs.CrashImage(), "f"), "abcdef");
  ASSERT_TRUE(again->Sync().ok());
  EXPECT_EQ(Text(*fs.CrashImage(), "f"), "X");
}

TEST(MemoryFileSystem, ForgetsNamesThatWereNotSynced) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDir("d").ok());
  for (const char* name : {"d/a", "d/b", "d/c"}) {
    auto file = Open(&fs, name);
    ASSERT_TRUE(file->Append(name).ok());
    ASSERT_TRUE(file->Sync().ok());
    EXPECT_EQ(Text(*fs.CrashImage(), name), "-");
  }
  ASSERT_TRUE(fs.SyncDir("d").ok());
  ASSERT_TRUE(fs.Rename("d/a", "d/a2").ok());
  ASSERT_TRUE(fs.Remove("d/b").ok());
  ASSERT_TRUE(fs.HardLink("d/c", "d/c2").ok());
  auto image = fs.CrashImage();
  EXPECT_EQ(image->List("d")->size(), 3u);
  EXPECT_EQ(Text(*image, "d/a"), "d/a");
  EXPECT_EQ(Text(*image, "d/b"), "d/b");
  ASSERT_TRUE(fs.SyncDir("d").ok());
  image = fs.CrashImage();
  EXPECT_EQ(Text(*image, "d/a"), "-");
  EXPECT_EQ(Text(*image, "d/a2"), "d/a");
  EXPECT_EQ(Text(*image, "d/b"), "-");
  EXPECT_EQ(Text(*image, "d/c2"), "d/c");
}

TEST(MemoryFileSystem, RandomCrashesKeepAPartInOrder) {
  MemoryFileSystem fs;
  auto file = Open(&fs, "f");
  ASSERT_TRUE(file->Append("12").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(fs.SyncDir("/").ok());
  ASSERT_TRUE(file->Append("34").ok());
  Open(&fs, "g");
  ASSERT_TRUE(fs.Rename("g", "h").ok());
  std::set<std::string> seen;
  std::set<std::string> names;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    auto image = fs.CrashImage(seed);
    seen.insert(Text(*image, "f"));
    std::string list;
    const auto entries = image->List("/");
    for (const FileInfo& info : *entries) list += info.name;
    names.insert(list);
  }
  using std::string_literals::operator""s;
  EXPECT_EQ(seen,
            (std::set<std::string>{"12", "123", "1234", "12\0"s, "12\0\0"s}));
  EXPECT_EQ(names, (std::set<std::string>{"f", "fg", "fh"}));
}

TEST(MemoryFileSystem, ImagesAreDisksOfTheirOwn) {
  MemoryFileSystem fs;
  auto lock = fs.Lock("lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_FALSE(fs.Lock("lock").ok());
  ASSERT_TRUE(fs.SyncDir("/").ok());
  auto image = fs.CrashImage();
  EXPECT_TRUE(image->Lock("lock").ok());
  Open(&fs, "f");
  EXPECT_FALSE(*image->Exists("f"));
}

TEST(MemoryFileSystem, WriteFileAtomicallyIsOldOrNewAtEveryCall) {
  std::set<std::string> seen;
  for (int64_t n = 1; n < 20; ++n) {
    MemoryFileSystem disk;
    ASSERT_TRUE(WriteFileAtomically(&disk, "f", "old").ok());
    FaultFileSystem fs(&disk);
    fs.FailCall(n, absl::UnavailableError("pulled"), FaultFileSystem::kAll,
                true);
    const bool ok = WriteFileAtomically(&fs, "f", "new").ok();
    const std::string text = Text(*disk.CrashImage(n), "f");
    EXPECT_TRUE(text == "new" || (!ok && text == "old")) << text;
    seen.insert(text);
    if (ok) break;
    ASSERT_LT(n, 19);
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST(FaultFileSystem, FailsTheNthCallOfAKind) {
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  fs.FailCall(2, absl::UnavailableError("broken"), FaultFileSystem::kSync);
  auto file = Open(&fs, "f");
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_TRUE(file->Append("x").ok());
  EXPECT_EQ(Message(file->Sync()), "broken");
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_EQ(fs.calls(FaultFileSystem::kSync), 3);
  fs.FailAll(absl::UnavailableError("gone"), FaultFileSystem::kWrites);
  EXPECT_FALSE(file->Append("x").ok());
  EXPECT_FALSE(fs.SyncDir("/").ok());
  EXPECT_TRUE(*fs.Exists("f"));
  fs.Heal();
  EXPECT_TRUE(file->Append("x").ok());
}

TEST(FaultFileSystem, AFullDiskTakesWhatFitsAndRecovers) {
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  fs.SetFreeBytes(5);
  auto file = Open(&fs, "f");
  EXPECT_TRUE(file->Append("abc").ok());
  EXPECT_EQ(*fs.FreeBytes("/"), 2u);
  EXPECT_TRUE(absl::IsResourceExhausted(file->Append("defg")));
  EXPECT_EQ(Text(disk, "f"), "abcde");
  fs.SetFreeBytes(std::nullopt);
  EXPECT_TRUE(file->Append("!").ok());
  EXPECT_EQ(Text(disk, "f"), "abcde!");
}

TEST(FaultFileSystem, TheHookSeesCallsAndMayRefuse) {
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  fs.SetHook([&](FaultFileSystem::Op op, const std::string& path) {
    return op == FaultFileSystem::kRemove && path == "f"
               ? absl::UnavailableError("no")
               : absl::OkStatus();
  });
  Open(&fs, "f");
  EXPECT_FALSE(fs.Remove("f").ok());
  fs.SetHook(nullptr);
  EXPECT_TRUE(fs.Remove("f").ok());
}

}  // namespace
}  // namespace varve
