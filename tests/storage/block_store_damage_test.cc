// The block store over files that were damaged: what is hit is set aside and
// named, everything else is served, nothing is deleted.

#include <gtest/gtest.h>

#include <limits>

#include "storage/block_store.h"
#include "storage/status_macros.h"
#include "tests/support/block_data.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
using Disk = std::unique_ptr<MemoryFileSystem>;

struct Store {
  std::unique_ptr<BlockStore> store;
  std::vector<std::string> log;
};

absl::Status OpenStore(FileSystem* fs, Store* out) {
  BlockStoreOptions options;
  options.directory = "/db";
  options.fs = fs;
  options.logger =
      Logger([out](LogLevel, std::string_view, std::string_view message) {
        out->log.emplace_back(message);
      });
  VARVE_ASSIGN_OR_RETURN(out->store, BlockStore::Open(options));
  return absl::OkStatus();
}

MapSource Data(int64_t start_ms) {
  MapSource data;
  for (int s = 0; s < 20; ++s) {
    for (int i = 0; i < 10; ++i) {
      data.Add(Labels{{"__name__", "up"}, {"n", std::to_string(s)}},
               start_ms + i * 1000 + s, i * s);
    }
  }
  return data;
}

/// A disk with two blocks, of the first and the second hour.
void Prepare(MemoryFileSystem* fs) {
  Store store;
  ASSERT_TRUE(OpenStore(fs, &store).ok());
  for (const int64_t start : {int64_t{0}, kHourMs}) {
    std::vector<std::unique_ptr<BlockBuilder>> builders;
    const TimeWindow window{start, start + kHourMs};
    builders.push_back(*store.store->NewBlock(window));
    ASSERT_TRUE(AddAll(Data(start), window, 120, builders[0].get()).ok());
    const SealMark mark{start, 5};
    ASSERT_TRUE(store.store->Publish(std::move(builders), {}, {&mark, 1}).ok());
  }
}

/// Content of a range and its warnings.
SourceContent ReadRange(const SeriesSource& source, int64_t start_ms,
                        int64_t end_ms, std::vector<std::string>* warnings) {
  SourceContent content;
  QueryContext context;
  SelectHints hints;
  hints.start_ms = start_ms;
  hints.end_ms = end_ms;
  auto set = source.Select(context, {}, hints);
  EXPECT_TRUE(set.ok()) << set.status();
  SampleColumns columns;
  while (*(*set)->Next()) {
    auto& samples = content[(*set)->labels().ToString()];
    auto cursor = (*set)->Cursor();
    while (*cursor->Next(&columns)) {
      for (size_t i = 0; i < columns.size(); ++i) {
        samples[columns.timestamps[i]] = PrintFloat(columns.values[i]);
      }
    }
  }
  std::erase_if(content,
                [](const auto& entry) { return entry.second.empty(); });
  *warnings = context.warnings();
  return content;
}

void ExpectSecondBlock(const BlockStore& store) {
  std::vector<std::string> warnings;
  EXPECT_EQ(ReadRange(*store.Snapshot(), kHourMs, 2 * kHourMs, &warnings),
            ReadContent(Data(kHourMs)));
  EXPECT_EQ(warnings, std::vector<std::string>());
}

TEST(BlockStoreDamage, ABlockFileThatIsGoneOrCutIsSetAside) {
  for (const bool gone : {true, false}) {
    MemoryFileSystem fs;
    Prepare(&fs);
    const std::string path = "/db/blocks/d0-p0.block";
    const std::string bytes = *ReadFile(&fs, path, 1 << 20);
    if (gone) {
      ASSERT_TRUE(fs.Remove(path).ok());
    } else {
      ASSERT_TRUE(
          WriteFileAtomically(&fs, path, bytes.substr(0, bytes.size() - 1))
              .ok());
    }
    Store store;
    ASSERT_TRUE(OpenStore(&fs, &store).ok());
    ASSERT_EQ(store.store->Blocks().size(), 2u);
    EXPECT_TRUE(store.store->Blocks()[0].damaged);
    EXPECT_FALSE(store.store->Blocks()[1].damaged);
    ASSERT_EQ(store.log.size(), 1u);
    EXPECT_NE(store.log[0].find(path), std::string::npos);
    ExpectSecondBlock(*store.store);
    std::vector<std::string> warnings;
    EXPECT_TRUE(
        ReadRange(*store.store->Snapshot(), 0, kHourMs - 1, &warnings).empty());
    ASSERT_EQ(warnings.size(), 1u);
    EXPECT_NE(warnings[0].find(path), std::string::npos);
    EXPECT_EQ(ReadRange(*store.store->Snapshot(), 0, 2 * kHourMs, &warnings),
              ReadContent(Data(kHourMs)));
    EXPECT_EQ(warnings.size(), 1u);
    EXPECT_EQ(*fs.Exists(path), !gone);

    // Brought back by its owner, it is served again.
    store.store.reset();
    ASSERT_TRUE(WriteFileAtomically(&fs, path, bytes).ok());
    ASSERT_TRUE(OpenStore(&fs, &store).ok());
    EXPECT_EQ(ReadContent(*store.store->Snapshot(), 0, kHourMs - 1),
              ReadContent(Data(0)));
  }
}

TEST(BlockStoreDamage, ADamagedBlockCanStillBeDropped) {
  MemoryFileSystem fs;
  Prepare(&fs);
  ASSERT_TRUE(fs.Remove("/db/blocks/d0-p0.block").ok());
  Store store;
  ASSERT_TRUE(OpenStore(&fs, &store).ok());
  EXPECT_EQ(*DropDaysBefore(store.store.get(), 24 * kHourMs), 2);
  EXPECT_TRUE(fs.List("/db/blocks")->empty());
}

TEST(BlockStoreDamage, TwoSwappedFilesAreNoticed) {
  MemoryFileSystem fs;
  Prepare(&fs);
  ASSERT_TRUE(fs.Rename("/db/blocks/d0-p0.block", "/db/x").ok());
  ASSERT_TRUE(
      fs.Rename("/db/blocks/d0-p1.block", "/db/blocks/d0-p0.block").ok());
  ASSERT_TRUE(fs.Rename("/db/x", "/db/blocks/d0-p1.block").ok());
  Store store;
  ASSERT_TRUE(OpenStore(&fs, &store).ok());
  for (const BlockInfo& info : store.store->Blocks()) {
    EXPECT_TRUE(info.damaged);
  }
}

TEST(BlockStoreDamage, ChangedBytesOfAnIndexFileAreNoticedOrHarmless) {
  const uint64_t seed = TestSeed();
  MemoryFileSystem prepared;
  Prepare(&prepared);
  std::string path;
  const auto files = prepared.List("/db/index");
  for (const FileInfo& file : *files) {
    const std::string name = "/db/index/" + file.name;
    if (file.name.ends_with(".sst") && (path.empty() || name < path)) {
      path = name;
    }
  }
  ASSERT_FALSE(path.empty());
  const std::string bytes = *ReadFile(&prepared, path, 1 << 20);
  const SourceContent want = ReadContent(Data(0));
  int noticed = 0;
  for (size_t i = seed % 5; i < 2 * bytes.size(); i += 5) {
    SCOPED_TRACE(i);
    const Disk fs = prepared.KillImage();
    std::string changed = bytes;
    if (i < bytes.size()) {
      changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    } else {
      changed.resize(i - bytes.size());
    }
    ASSERT_TRUE(WriteFileAtomically(fs.get(), path, changed).ok());
    Store store;
    const absl::Status opened = OpenStore(fs.get(), &store);
    ASSERT_TRUE(opened.ok()) << opened;
    ASSERT_EQ(store.store->Blocks().size(), 2u);
    ExpectSecondBlock(*store.store);
    std::vector<std::string> warnings;
    const SourceContent got =
        ReadRange(*store.store->Snapshot(), 0, kHourMs - 1, &warnings);
    if (warnings.empty()) {
      EXPECT_EQ(got, want);
    } else {
      ++noticed;
      for (const auto& [labels, samples] : got) {
        EXPECT_EQ(samples, want.at(labels));
      }
    }
    EXPECT_EQ(fs->List("/db/blocks")->size(), 2u);
    store.store.reset();
    if (HasFailure()) return;
  }
  EXPECT_GT(noticed, 100);
}

TEST(BlockStoreDamage, ADamagedManifestRemovesNothing) {
  MemoryFileSystem prepared;
  Prepare(&prepared);
  const auto files = prepared.List("/db/index");
  for (const FileInfo& file : *files) {
    if (!file.name.ends_with(".log") || file.size == 0) continue;
    const std::string path = "/db/index/" + file.name;
    const std::string bytes = *ReadFile(&prepared, path, 1 << 20);
    for (size_t i = 0; i < bytes.size(); ++i) {
      SCOPED_TRACE(i);
      const Disk fs = prepared.KillImage();
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ 0x10);
      ASSERT_TRUE(WriteFileAtomically(fs.get(), path, changed).ok());
      Store store;
      const absl::Status opened = OpenStore(fs.get(), &store);
      EXPECT_EQ(fs->List("/db/blocks")->size(), 2u);
      if (!opened.ok()) {
        EXPECT_TRUE(absl::IsDataLoss(opened)) << opened;
        continue;
      }
      std::vector<std::string> warnings;
      const SourceContent got =
          ReadRange(*store.store->Snapshot(), 0, 2 * kHourMs, &warnings);
      EXPECT_EQ(store.store->Blocks().size(), 2u);
      size_t damaged = 0;
      for (const BlockInfo& info : store.store->Blocks()) {
        damaged += info.damaged ? 1 : 0;
      }
      EXPECT_EQ(warnings.size(), damaged);
      EXPECT_FALSE(store.log.empty());
      // Nor at the next start.
      store.store.reset();
      ASSERT_TRUE(OpenStore(fs.get(), &store).ok());
      EXPECT_EQ(fs->List("/db/blocks")->size(), 2u);
      store.store.reset();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace varve
