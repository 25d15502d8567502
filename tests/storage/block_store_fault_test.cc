// The block store on disks that fail and forget.

#include <gtest/gtest.h>

#include "storage/block_store.h"
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

constexpr int64_t kHourMs = 3600 * 1000;
constexpr SealMark kMark{0, 7};

using Builders = std::vector<std::unique_ptr<BlockBuilder>>;

absl::StatusOr<std::unique_ptr<BlockStore>> OpenStore(FileSystem* fs) {
  BlockStoreOptions options;
  options.directory = "/db";
  options.fs = fs;
  return BlockStore::Open(options);
}

size_t CountFiles(FileSystem* fs, const std::string& directory,
                  std::string_view suffix = "") {
  size_t n = 0;
  const auto files = fs->List(directory);
  for (const FileInfo& file : *files) n += file.name.ends_with(suffix) ? 1 : 0;
  return n;
}

/// Two states of a store, and the step from one to the other: a block is
/// replaced by two, one with more samples, and a mark is stored.
class Step {
 public:
  Step() {
    for (int i = 0; i < 40; ++i) {
      const std::string instance = fmt::format("host-{}", i);
      const Labels labels{{"__name__", "up"}, {"instance", instance}};
      for (int k = 0; k < 6; ++k) {
        (k < 3 ? old_ : new_).Add(labels, i + k * 1000, i * k);
        if (k < 3) new_.Add(labels, i + k * 1000, i * k);
      }
    }
  }

  /// The first state, on a disk without anything.
  absl::Status Prepare(BlockStore* store) const {
    VARVE_RETURN_IF_ERROR(store->PutFact("fact", "1"));
    return Publish(store, old_, {});
  }
  absl::Status Run(BlockStore* store) const {
    const auto blocks = store->Blocks();
    if (blocks.size() != 1) return Internal("{} blocks", blocks.size());
    return Publish(store, new_, blocks);
  }

  /// Expects one of the states, with marks and files that belong to it; true
  /// for the second one.
  bool Check(BlockStore* store) const {
    const bool is_new = !store->seal_marks().empty();
    EXPECT_EQ(ReadContent(*store->Snapshot()),
              ReadContent(is_new ? new_ : old_));
    EXPECT_EQ(store->Blocks().size(), is_new ? 2u : 1u);
    for (const BlockInfo& info : store->Blocks()) EXPECT_FALSE(info.damaged);
    EXPECT_EQ(store->Facts("fact")->size(), 1u);
    return is_new;
  }
  /// As Check, also that nothing is left of what was replaced or not named.
  bool CheckFiles(std::unique_ptr<BlockStore> store, FileSystem* fs) const {
    const bool is_new = Check(store.get());
    store.reset();
    EXPECT_EQ(CountFiles(fs, "/db/blocks"), is_new ? 2u : 1u);
    RowStoreOptions options;
    options.directory = "/db/index";
    options.fs = fs;
    auto rows = RowStore::Open(options);
    EXPECT_TRUE(rows.ok()) << rows.status();
    if (rows.ok()) {
      EXPECT_EQ((*rows)->IndexFileKeys().size(), is_new ? 2u : 1u);
    }
    return is_new;
  }

 private:
  static absl::Status Publish(BlockStore* store, const MapSource& data,
                              const std::vector<BlockInfo>& replaced) {
    Builders builders;
    for (const TimeWindow window :
         {TimeWindow{0, 2000}, TimeWindow{2000, kHourMs}}) {
      const TimeWindow whole{0, kHourMs};
      VARVE_ASSIGN_OR_RETURN(
          auto builder, store->NewBlock(replaced.empty() ? whole : window));
      VARVE_RETURN_IF_ERROR(
          AddAll(data, replaced.empty() ? whole : window, 120, builder.get()));
      builders.push_back(std::move(builder));
      if (replaced.empty()) break;
    }
    return store->Publish(std::move(builders), replaced,
                          replaced.empty() ? std::vector<SealMark>{}
                                           : std::vector<SealMark>{kMark});
  }

  MapSource old_;
  MapSource new_;
};

TEST(BlockStoreFault, ACrashBeforeAnyCallLeavesTheOldOrTheNewState) {
  const uint64_t seed = TestSeed();
  const Step step;
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  auto store = OpenStore(&fs);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(step.Prepare(store->get()).ok());

  // One run, an image of the disk before every call.
  Mutex mutex;
  std::vector<std::unique_ptr<MemoryFileSystem>> images;
  fs.SetHook([&](FaultFileSystem::Op op, const std::string&) {
    if ((op & FaultFileSystem::kWrites) == 0) return absl::OkStatus();
    MutexLock lock(&mutex);
    images.push_back(disk.CrashImage());
    images.push_back(disk.CrashImage(seed + images.size()));
    images.push_back(disk.CrashImage(seed + images.size()));
    images.push_back(disk.KillImage());
    return absl::OkStatus();
  });
  const absl::Status ran = step.Run(store->get());
  ASSERT_TRUE(ran.ok()) << ran;
  fs.SetHook(nullptr);
  images.push_back(disk.CrashImage());
  ASSERT_GT(images.size(), 40u);

  int news = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    SCOPED_TRACE(fmt::format("image {} of {}", i, images.size()));
    auto again = OpenStore(images[i].get());
    ASSERT_TRUE(again.ok()) << again.status();
    const bool is_new = step.CheckFiles(*std::move(again), images[i].get());
    EXPECT_TRUE(is_new || i + 1 < images.size());
    news += is_new ? 1 : 0;
    // It also goes on from there.
    if (!is_new && i % 7 == 0) {
      again = OpenStore(images[i].get());
      const absl::Status s = step.Run(again->get());
      EXPECT_TRUE(s.ok()) << s;
      EXPECT_TRUE(step.CheckFiles(*std::move(again), images[i].get()));
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(news, 1);
  EXPECT_LT(news, static_cast<int>(images.size()));
}

/// Fails call `n` (and with `for_good` all after it) of a step; false when the
/// step needed fewer calls.
bool FailAndRetry(const Step& step, int64_t n, bool for_good,
                  const absl::Status& error) {
  MemoryFileSystem disk;
  FaultFileSystem fs(&disk);
  auto store = OpenStore(&fs);
  EXPECT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE(step.Prepare(store->get()).ok());
  const int64_t before = fs.calls();
  fs.FailCall(n, error, FaultFileSystem::kAll, for_good);
  const absl::Status failed = step.Run(store->get());
  const bool reached = fs.calls() - before >= n;
  fs.Heal();
  if (failed.ok()) {
    // The failed call was one that only tidies up.
    EXPECT_TRUE(step.Check(store->get()));
  } else {
    EXPECT_FALSE(step.Check(store->get())) << "visible after an error";
    // A crash now may find either.
    const auto image = disk.CrashImage();
    auto crashed = OpenStore(image.get());
    EXPECT_TRUE(crashed.ok()) << crashed.status();
    if (crashed.ok()) step.CheckFiles(*std::move(crashed), image.get());
    const absl::Status retried = step.Run(store->get());
    EXPECT_TRUE(retried.ok()) << "after " << failed << "\n" << retried;
    EXPECT_TRUE(step.Check(store->get()));
  }
  const auto image = disk.CrashImage();
  auto again = OpenStore(image.get());
  EXPECT_TRUE(again.ok()) << again.status();
  if (again.ok()) {
    EXPECT_TRUE(step.CheckFiles(*std::move(again), image.get()));
  }
  store->reset();
  return reached;
}

TEST(BlockStoreFault, AnyCallMayFailOnce) {
  const Step step;
  int64_t n = 1;
  while (FailAndRetry(step, n, false, absl::UnavailableError("EIO"))) {
    SCOPED_TRACE(n);
    if (HasFailure()) FAIL() << "call " << n;
    ASSERT_LT(++n, 2000);
  }
  EXPECT_GT(n, 40);
}

TEST(BlockStoreFault, AllCallsFromOneOnMayFail) {
  const Step step;
  int64_t n = 1;
  while (FailAndRetry(step, n, true, absl::UnavailableError("EIO"))) {
    if (HasFailure()) FAIL() << "call " << n;
    ASSERT_LT(++n, 2000);
  }
  EXPECT_GT(n, 40);
}

TEST(BlockStoreFault, AFullDiskIsReportedAndGetsBetter) {
  const Step step;
  for (uint64_t bytes = 0;; bytes += 97) {
    SCOPED_TRACE(bytes);
    ASSERT_LT(bytes, uint64_t{1} << 20);
    MemoryFileSystem disk;
    FaultFileSystem fs(&disk);
    auto store = OpenStore(&fs);
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE(step.Prepare(store->get()).ok());
    fs.SetFreeBytes(bytes);
    const absl::Status full = step.Run(store->get());
    const bool is_new = step.Check(store->get());
    EXPECT_EQ(is_new, full.ok());
    if (!full.ok()) {
      EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
      fs.SetFreeBytes(std::nullopt);
      const absl::Status s = step.Run(store->get());
      EXPECT_TRUE(s.ok()) << s;
      EXPECT_TRUE(step.Check(store->get()));
    }
    store->reset();
    if (HasFailure() || full.ok()) break;
  }
}

TEST(BlockStoreFault, OpeningMayFailAtAnyCall) {
  const Step step;
  MemoryFileSystem prepared;
  {
    auto store = OpenStore(&prepared);
    ASSERT_TRUE(step.Prepare(store->get()).ok());
    ASSERT_TRUE(step.Run(store->get()).ok());
  }
  for (int64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    ASSERT_LT(n, 2000);
    const auto disk = prepared.KillImage();
    FaultFileSystem fs(disk.get());
    fs.FailCall(n, absl::UnavailableError("EIO"));
    bool reached;
    {
      auto store = OpenStore(&fs);
      reached = fs.calls() >= n;
      fs.Heal();
      // An error, or data that is set aside for now, or all of it.
      if (store.ok() && reached) {
        size_t damaged = 0;
        for (const BlockInfo& info : (*store)->Blocks()) {
          damaged += info.damaged ? 1 : 0;
        }
        EXPECT_EQ((*store)->Blocks().size(), 2u);
        if (damaged == 0) {
          EXPECT_TRUE(step.Check(store->get()));
        }
      }
    }
    auto again = OpenStore(disk.get());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(step.CheckFiles(*std::move(again), disk.get()));
    if (!reached || HasFailure()) break;
  }
}

}  // namespace
}  // namespace varve
