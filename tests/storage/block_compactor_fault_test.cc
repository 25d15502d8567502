// A compaction on disks that fail and forget.

#include <gtest/gtest.h>

#include "storage/block_compactor.h"
#include "storage/mutex.h"
#include "storage/row_store.h"
#include "storage/status_macros.h"
#include "tests/support/block_data.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr TimeWindow kWindow{0, 7200 * 1000};
constexpr size_t kInputs = 3;

absl::StatusOr<std::unique_ptr<BlockStore>> OpenStore(FileSystem* fs) {
  BlockStoreOptions options;
  options.directory = "/db";
  options.fs = fs;
  return BlockStore::Open(options);
}

size_t CountFiles(FileSystem* fs, const std::string& directory) {
  const auto files = fs->List(directory);
  return files.ok() ? files->size() : 0;
}

/// Three blocks that overlap, and their merge.
class Merge {
 public:
  Merge() {
    std::mt19937_64 random(1);
    RandomDataOptions options;
    options.window = kWindow;
    options.series = 20;
    options.samples_max = 40;
    for (MapSource& data : data_) data = RandomData(options, &random);
  }

  absl::Status Prepare(BlockStore* store) {
    for (const MapSource& data : data_) {
      VARVE_ASSIGN_OR_RETURN(auto builder, store->NewBlock(kWindow));
      VARVE_RETURN_IF_ERROR(AddAll(data, kWindow, 30, builder.get()));
      std::vector<std::unique_ptr<BlockBuilder>> builders;
      builders.push_back(std::move(builder));
      VARVE_RETURN_IF_ERROR(store->Publish(std::move(builders), {}, {}));
    }
    content_ = ReadContent(*store->Snapshot());
    return absl::OkStatus();
  }
  static absl::Status Run(BlockStore* store) {
    CompactReport report;
    const absl::Status status =
        CompactBlocks(store, store->Blocks(), {}, &report);
    // A disk that fails is not a damaged block.
    EXPECT_TRUE(report.damaged.empty()) << report.damage;
    return status;
  }
  /// Nothing is lost or there twice; true once it is merged.
  bool Check(BlockStore* store) const {
    EXPECT_EQ(ReadContent(*store->Snapshot()), content_);
    const auto blocks = store->Blocks();
    EXPECT_TRUE(blocks.size() == 1 || blocks.size() == kInputs);
    for (const BlockInfo& info : blocks) EXPECT_FALSE(info.damaged);
    return blocks.size() == 1;
  }
  /// As Check, also that no file is left over.
  bool CheckFiles(std::unique_ptr<BlockStore> store, FileSystem* fs) const {
    const bool merged = Check(store.get());
    store.reset();
    EXPECT_EQ(CountFiles(fs, "/db/blocks"), merged ? 1 : kInputs);
    RowStoreOptions options;
    options.directory = "/db/index";
    options.fs = fs;
    auto rows = RowStore::Open(options);
    EXPECT_TRUE(rows.ok()) << rows.status();
    if (rows.ok()) {
      EXPECT_EQ((*rows)->IndexFileKeys().size(), merged ? 1 : kInputs);
    }
    return merged;
  }

 private:
  MapSource data_[kInputs];
  SourceContent content_;
};

TEST(BlockCompactorFault, ACrashBeforeAnyCallLosesNothing) {
  const uint64_t seed = TestSeed();
  Merge merge;
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  auto store = OpenStore(&fs);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(merge.Prepare(store->get()).ok());
  Mutex mutex;
  std::vector<std::unique_ptr<MemoryFileSystem>> images;
  fs.SetHook([&](FaultFileSystem::Op op, const std::string&) {
    if ((op & FaultFileSystem::kWrites) == 0) return absl::OkStatus();
    MutexLock lock(&mutex);
    images.push_back(disk.CrashImage());
    images.push_back(disk.CrashImage(seed + images.size()));
    images.push_back(disk.KillImage());
    return absl::OkStatus();
  });
  const absl::Status ran = Merge::Run(store->get());
  ASSERT_TRUE(ran.ok()) << ran;
  fs.SetHook(nullptr);
  images.push_back(disk.CrashImage());
  ASSERT_GT(images.size(), 30u);
  size_t merged = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    SCOPED_TRACE(
        fmt::format("seed {}, image {} of {}", seed, i, images.size()));
    auto again = OpenStore(images[i].get());
    ASSERT_TRUE(again.ok()) << again.status();
    const bool is_merged = merge.CheckFiles(*std::move(again), images[i].get());
    merged += is_merged ? 1 : 0;
    if (!is_merged && i % 5 == 0) {
      again = OpenStore(images[i].get());
      const absl::Status s = Merge::Run(again->get());
      EXPECT_TRUE(s.ok()) << s;
      EXPECT_TRUE(merge.CheckFiles(*std::move(again), images[i].get()));
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(merged, 1u);
  EXPECT_LT(merged, images.size());
}

/// Fails call `n` (with `for_good` all after it too); false when the compaction
/// needed fewer.
bool FailAndRetry(int64_t n, bool for_good) {
  Merge merge;
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  auto store = OpenStore(&fs);
  EXPECT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE(merge.Prepare(store->get()).ok());
  const int64_t before = fs.calls();
  fs.FailCall(n, absl::UnavailableError("EIO"), FaultFileSystem::kAll,
              for_good);
  const absl::Status failed = Merge::Run(store->get());
  const bool reached = fs.calls() - before >= n;
  fs.Heal();
  EXPECT_EQ(merge.Check(store->get()), failed.ok()) << failed;
  if (!failed.ok()) {
    const auto image = disk.CrashImage();
    auto crashed = OpenStore(image.get());
    EXPECT_TRUE(crashed.ok()) << crashed.status();
    if (crashed.ok()) merge.CheckFiles(*std::move(crashed), image.get());
    const absl::Status retried = Merge::Run(store->get());
    EXPECT_TRUE(retried.ok()) << "after " << failed << "\n" << retried;
    EXPECT_TRUE(merge.Check(store->get()));
  }
  const auto image = disk.CrashImage();
  auto again = OpenStore(image.get());
  EXPECT_TRUE(again.ok()) << again.status();
  if (again.ok()) {
    EXPECT_TRUE(merge.CheckFiles(*std::move(again), image.get()));
  }
  store->reset();
  return reached;
}

TEST(BlockCompactorFault, AnyCallMayFailOnce) {
  int64_t n = 1;
  while (FailAndRetry(n, false)) {
    if (HasFailure()) FAIL() << "call " << n;
    ASSERT_LT(++n, 2000);
  }
  EXPECT_GT(n, 40);
}

TEST(BlockCompactorFault, AllCallsFromOneOnMayFail) {
  int64_t n = 1;
  while (FailAndRetry(n, true)) {
    if (HasFailure()) FAIL() << "call " << n;
    ASSERT_LT(++n, 2000);
  }
  EXPECT_GT(n, 40);
}

}  // namespace
}  // namespace varve
