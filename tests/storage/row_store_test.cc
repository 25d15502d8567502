#include "storage/row_store.h"

#include <gtest/gtest.h>

#include "storage/check.h"
#include "storage/sst_check.h"
#include "storage/status_macros.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

using Family = RowStore::Family;

std::unique_ptr<RowStore> Open(FileSystem* fs) {
  RowStoreOptions options;
  options.directory = "/data/index";
  options.fs = fs;
  auto store = RowStore::Open(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

absl::Status Put(RowStore* store, std::string key, std::string value) {
  RowStore::Batch batch;
  batch.puts.emplace_back(std::move(key), std::move(value));
  return store->WriteManifest(batch);
}

absl::Status IngestRows(RowStore* store, const std::string& prefix, int n) {
  const std::string path = "/data/" + prefix + ".tmp";
  VARVE_ASSIGN_OR_RETURN(auto file, store->NewFile(path));
  for (int i = 0; i < n; ++i) {
    VARVE_RETURN_IF_ERROR(
        file->Add(fmt::format("{}{:06}", prefix, i), std::to_string(i)));
  }
  VARVE_RETURN_IF_ERROR(file->Finish().status());
  return store->Ingest(path);
}

std::string Value(const RowStore& store, Family family, std::string_view key) {
  const auto value = store.Get(family, key);
  if (!value.ok()) return std::string(Message(value.status()));
  return value->value_or("-");
}

TEST(RowStore, KeepsSyncedRowsOverACrash) {
  MemoryFileSystem fs;
  auto store = Open(&fs);
  ASSERT_TRUE(Put(store.get(), "a", "1").ok());
  ASSERT_TRUE(IngestRows(store.get(), "x", 1000).ok());
  ASSERT_TRUE(IngestRows(store.get(), "y", 1000).ok());
  ASSERT_TRUE(Put(store.get(), "b", "2").ok());
  auto image = fs.CrashImage();
  auto again = Open(image.get());
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(Value(*again, Family::kManifest, "a"), "1");
  EXPECT_EQ(Value(*again, Family::kManifest, "b"), "2");
  EXPECT_EQ(Value(*again, Family::kIndex, "x000999"), "999");
  EXPECT_EQ(Value(*again, Family::kIndex, "y000000"), "0");
  EXPECT_EQ(Value(*again, Family::kIndex, "y001000"), "-");
  EXPECT_EQ(again->IndexFileKeys(),
            (std::vector<std::string>{"x000000", "y000000"}));
  EXPECT_EQ(again->ManifestRows("")->size(), 2u);
}

TEST(RowStore, ASecondOneIsRefused) {
  MemoryFileSystem fs;
  auto store = Open(&fs);
  RowStoreOptions options;
  options.directory = "/data/index";
  options.fs = &fs;
  EXPECT_FALSE(RowStore::Open(options).ok());
}

TEST(RowStore, DropsFilesByRange) {
  MemoryFileSystem fs;
  auto store = Open(&fs);
  for (const char* prefix : {"x", "y", "z"}) {
    ASSERT_TRUE(IngestRows(store.get(), prefix, 10).ok());
  }
  ASSERT_TRUE(store->DropIndexFiles("y", "z").ok());
  EXPECT_EQ(Value(*store, Family::kIndex, "y000000"), "-");
  EXPECT_EQ(Value(*store, Family::kIndex, "z000000"), "0");
  store.reset();
  const auto image = fs.CrashImage();
  const auto again = Open(image.get());
  EXPECT_EQ(again->IndexFileKeys().size(), 2u);
}

TEST(RowStore, ResumesAfterAFullDisk) {
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  auto store = Open(&fs);
  ASSERT_TRUE(Put(store.get(), "a", "1").ok());
  fs.SetFreeBytes(0);
  EXPECT_TRUE(absl::IsResourceExhausted(Put(store.get(), "b", "2")));
  EXPECT_FALSE(IngestRows(store.get(), "x", 10).ok());
  EXPECT_FALSE(Put(store.get(), "b", "2").ok());
  EXPECT_EQ(Value(*store, Family::kManifest, "a"), "1");
  fs.SetFreeBytes(std::nullopt);
  const absl::Status resumed = Put(store.get(), "b", "3");
  EXPECT_TRUE(resumed.ok()) << resumed;
  EXPECT_TRUE(IngestRows(store.get(), "x", 10).ok());
  store.reset();
  const auto image = disk.CrashImage();
  const auto again = Open(image.get());
  EXPECT_EQ(Value(*again, Family::kManifest, "a"), "1");
  EXPECT_EQ(Value(*again, Family::kManifest, "b"), "3");
  EXPECT_EQ(Value(*again, Family::kIndex, "x000009"), "9");
}

TEST(RowStore, AMissingOrDamagedIndexFileCostsOnlyItself) {
  for (const bool remove : {true, false}) {
    MemoryFileSystem fs;
    auto store = Open(&fs);
    ASSERT_TRUE(IngestRows(store.get(), "x", 10).ok());
    ASSERT_TRUE(IngestRows(store.get(), "y", 10).ok());
    ASSERT_TRUE(Put(store.get(), "a", "1").ok());
    store.reset();
    std::string first;
    const auto files = fs.List("/data/index");
    for (const FileInfo& info : *files) {
      if (info.name.ends_with(".sst") && (first.empty() || info.name < first)) {
        first = info.name;
      }
    }
    ASSERT_FALSE(first.empty());
    if (remove) {
      ASSERT_TRUE(fs.Remove("/data/index/" + first).ok());
    } else {
      auto file = fs.OpenWritable("/data/index/" + first,
                                  FileSystem::WriteMode::kReuse);
      ASSERT_TRUE((*file)->Truncate(100).ok());
    }
    store = Open(&fs);
    ASSERT_NE(store, nullptr);
    EXPECT_TRUE(store->damage().ok()) << store->damage();
    EXPECT_TRUE(
        absl::IsDataLoss(store->Get(Family::kIndex, "x000001").status()))
        << store->Get(Family::kIndex, "x000001").status();
    EXPECT_EQ(Value(*store, Family::kIndex, "y000001"), "1");
    EXPECT_EQ(Value(*store, Family::kManifest, "a"), "1");
    EXPECT_TRUE(Put(store.get(), "b", "1").ok());
  }
}

TEST(RowStore, NoByteOfATableFileEndsTheProcess) {
  MemoryFileSystem fs;
  auto store = Open(&fs);
  ASSERT_TRUE(IngestRows(store.get(), "x", 10).ok());
  std::string path;
  for (const RowStore::File& file : store->Files()) {
    if (file.name.ends_with(".sst")) path = "/data/index/" + file.name;
  }
  ASSERT_FALSE(path.empty());
  store.reset();
  const auto check = [&] {
    const auto file = fs.OpenRandomAccess(path);
    VARVE_CHECK(file.ok());
    return CheckSst(**file, path);
  };
  ASSERT_TRUE(check().ok()) << check();
  const std::string good = *ReadFile(&fs, path, 1 << 20);
  int found = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int change : {0xff, 1, 0x80}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      ASSERT_TRUE(WriteFileAtomically(&fs, path, bytes).ok());
      found += !check().ok();
    }
    if (at % 16 == 0) Open(&fs);  // with the last change, whatever it costs
  }
  // Properties and metaindex are most of so small a file.
  EXPECT_GT(found, static_cast<int>(good.size()));
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_TRUE(WriteFileAtomically(&fs, path, good.substr(0, size)).ok());
    ASSERT_FALSE(check().ok()) << size;
  }
}

TEST(RowStore, ADamagedManifestIsReported) {
  MemoryFileSystem fs;
  auto store = Open(&fs);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(Put(store.get(), std::to_string(i), "v").ok());
  }
  const auto image = fs.KillImage();
  const auto files = image->List("/data/index");
  for (const FileInfo& info : *files) {
    if (!info.name.ends_with(".log") || info.size == 0) continue;
    const std::string path = "/data/index/" + info.name;
    std::string data = *ReadFile(image.get(), path, 1 << 20);
    data[data.size() / 2] ^= 1;
    ASSERT_TRUE(WriteFileAtomically(image.get(), path, data).ok());
  }
  const auto opened = Open(image.get());
  ASSERT_NE(opened, nullptr);
  EXPECT_TRUE(absl::IsDataLoss(opened->damage())) << opened->damage();
  EXPECT_NE(Message(opened->damage()).find("/data/index"),
            std::string_view::npos);
  EXPECT_LT(opened->ManifestRows("")->size(), 50u);
}

TEST(RowStore, ATornTailIsNoDamage) {
  MemoryFileSystem fs;
  auto store = Open(&fs);
  ASSERT_TRUE(Put(store.get(), "a", "1").ok());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    // An unsynced record of any length at the log's end.
    auto image = fs.KillImage();
    const auto files = image->List("/data/index");
    for (const FileInfo& info : *files) {
      if (!info.name.ends_with(".log") || info.size == 0) continue;
      auto log = image->OpenWritable("/data/index/" + info.name,
                                     FileSystem::WriteMode::kAppend);
      ASSERT_TRUE((*log)->Append(std::string(seed, '\0')).ok());
    }
    const auto again = Open(image.get());
    EXPECT_TRUE(again->damage().ok()) << again->damage();
    EXPECT_EQ(Value(*again, Family::kManifest, "a"), "1");
  }
}

}  // namespace
}  // namespace varve
