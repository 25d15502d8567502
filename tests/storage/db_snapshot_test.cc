#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "storage/db.h"
#include "storage/mutex.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/source_content.h"
#include "tests/support/test_directory.h"

namespace varve {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kNow = int64_t{470'000} * 60 * kMinute;

DbOptions OptionsIn(const std::string& directory, FileSystem* fs,
                    Clock* clock) {
  DbOptions options;
  options.directory = directory;
  options.fs = fs;
  options.clock = clock;
  options.background = false;
  options.window_ms = 10 * kMinute;
  options.wal_segment_bytes = 2048;
  return options;
}

std::unique_ptr<Db> OpenDb(const DbOptions& options) {
  auto db = Db::Open(options);
  EXPECT_TRUE(db.ok()) << db.status();
  return db.ok() ? *std::move(db) : nullptr;
}

/// Writes a sample a minute of six series.
void Write(Db* db, ManualClock* clock, int minutes) {
  for (int i = 0; i < minutes; ++i) {
    clock->Advance(kMinute);
    auto appender = db->BeginAppend();
    for (int s = 0; s < 6; ++s) {
      const auto ref = appender->Resolve(
          Labels{{"__name__", "m"}, {"s", std::to_string(s)}});
      ASSERT_TRUE(ref.ok());
      appender->batch().Add(*ref, clock->NowMs(), i * 0.1 + s);
    }
    ASSERT_TRUE(appender->Commit().ok());
    ASSERT_TRUE(db->Maintain().ok());
  }
}

void CopyDirectory(FileSystem* fs, const std::string& from,
                   const std::string& to) {
  ASSERT_TRUE(fs->CreateDir(to).ok());
  const auto files = fs->List(from);
  ASSERT_TRUE(files.ok()) << files.status();
  for (const FileInfo& file : *files) {
    const std::string source = from + "/" + file.name;
    const std::string target = to + "/" + file.name;
    if (file.is_directory) {
      CopyDirectory(fs, source, target);
    } else {
      const auto bytes = ReadFile(fs, source, uint64_t{1} << 30);
      ASSERT_TRUE(bytes.ok());
      ASSERT_TRUE(WriteFileAtomically(fs, target, *bytes).ok());
    }
  }
}

TEST(DbSnapshot, ACopyOfItAnswersBitForBit) {
  MemoryFileSystem fs;
  ManualClock clock(kNow);
  auto db = OpenDb(OptionsIn("/db", &fs, &clock));
  Write(db.get(), &clock, 45);
  ASSERT_GT(db->Stats().blocks, 1);
  const SourceContent content = ReadContent(db->source());
  const auto name = db->Snapshot(false);
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->size(),
            std::string("20060102T150405Z-0123456789abcdef").size());
  EXPECT_EQ((*name)[8], 'T');
  // What comes later is not in it, and what goes later stays in it.
  Write(db.get(), &clock, 45);
  ASSERT_TRUE(db->Flush().ok());
  CopyDirectory(&fs, "/db/snapshots/" + *name, "/restored");
  {
    auto restored = OpenDb(OptionsIn("/restored", &fs, &clock));
    EXPECT_EQ(ReadContent(restored->source()), content);
    EXPECT_EQ(restored->Stats().wal_corruptions, 0);
    EXPECT_EQ(restored->Stats().blocks_damaged, 0);
    Write(restored.get(), &clock, 45);
    ASSERT_TRUE(restored->Flush().ok());
  }
  // A power cut right after the call takes nothing of it.
  const auto later = db->Snapshot(false);
  ASSERT_TRUE(later.ok());
  auto image = fs.CrashImage();
  const SourceContent now = ReadContent(db->source());
  auto served =
      OpenDb(OptionsIn("/db/snapshots/" + *later, image.get(), &clock));
  EXPECT_EQ(ReadContent(served->source()), now);
}

TEST(DbSnapshot, WithoutTheHeadItHoldsTheBlocksAndTakesNewSamples) {
  MemoryFileSystem fs;
  ManualClock clock(kNow);
  auto db = OpenDb(OptionsIn("/db", &fs, &clock));
  Write(db.get(), &clock, 15);
  ASSERT_TRUE(db->Flush().ok());
  const SourceContent blocks = ReadContent(db->source());
  const int64_t sealed_ms = clock.NowMs();
  Write(db.get(), &clock, 2);
  const auto name = db->Snapshot(true);
  ASSERT_TRUE(name.ok()) << name.status();
  const DbOptions options = OptionsIn("/db/snapshots/" + *name, &fs, &clock);
  auto restored = OpenDb(options);
  EXPECT_EQ(ReadContent(restored->source()), blocks);
  // Samples of a window that has a seal mark, in the first segments of a log
  // that begins anew.
  auto appender = restored->BeginAppend();
  const auto ref = appender->Resolve(Labels{{"__name__", "late"}});
  appender->batch().Add(*ref, sealed_ms, 7);
  ASSERT_TRUE(appender->Commit().ok());
  appender.reset();
  restored.reset();
  restored = OpenDb(options);
  SourceContent expected = blocks;
  expected["late"][sealed_ms] = PrintFloat(7);
  EXPECT_EQ(ReadContent(restored->source()), expected);
}

TEST(DbSnapshot, HoldsWhatWasAcknowledgedBeforeTheCall) {
  TestDirectory directory;
  ManualClock clock(kNow);
  auto db = OpenDb(OptionsIn(directory.path(), FileSystem::Posix(), &clock));
  std::atomic<int64_t> acknowledged{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> stopped{false};
  std::thread writer([&] {
    for (int64_t i = 1; !stop.load() && i < 1'000'000; ++i) {
      auto appender = db->BeginAppend();
      const auto ref = appender->Resolve(Labels{{"__name__", "m"}});
      appender->batch().Add(*ref, kNow - 30 * kMinute + i, 1.0 * i);
      if (!appender->Commit().ok()) break;
      acknowledged.store(i);
      if (i % 5000 == 0 && !db->Flush().ok()) break;
    }
    stopped.store(true);
  });
  struct Stopper {
    std::atomic<bool>* stop;
    std::thread* thread;
    ~Stopper() {
      stop->store(true);
      thread->join();
    }
  } const stopper{&stop, &writer};
  for (int round = 0; round < 6; ++round) {
    const int64_t goal = acknowledged.load() + 2000;
    while (acknowledged.load() < goal && !stopped.load()) {
      std::this_thread::yield();
    }
    const int64_t before = acknowledged.load();
    const auto name = db->Snapshot(false);
    ASSERT_TRUE(name.ok()) << name.status();
    auto copy = OpenDb(OptionsIn(directory / ("snapshots/" + *name),
                                 FileSystem::Posix(), &clock));
    const SourceContent content = ReadContent(copy->source());
    const auto& samples = content.at("m");
    for (int64_t i = 1; i <= before; ++i) {
      ASSERT_TRUE(samples.contains(kNow - 30 * kMinute + i)) << i;
    }
  }
}

TEST(DbSnapshot, OneThatFailsLeavesNothing) {
  for (int64_t n = 1; n < 120; n += n < 40 ? 1 : 5) {
    SCOPED_TRACE(n);
    MemoryFileSystem memory;
    FaultFileSystem fs(&memory);
    ManualClock clock(kNow);
    auto db = OpenDb(OptionsIn("/db", &fs, &clock));
    Write(db.get(), &clock, 25);
    fs.FailCall(n, absl::UnavailableError("the disk is ill"),
                FaultFileSystem::kWrites & ~FaultFileSystem::kRemove);
    const auto name = db->Snapshot(false);
    fs.Heal();
    const auto found = memory.List("/db/snapshots");
    if (name.ok()) {
      // A link that fails becomes a copy; past the last call nothing failed.
      auto copy = OpenDb(OptionsIn("/db/snapshots/" + *name, &fs, &clock));
      EXPECT_EQ(ReadContent(copy->source()), ReadContent(db->source()));
    } else {
      for (const FileInfo& file :
           found.ok() ? *found : std::vector<FileInfo>()) {
        EXPECT_TRUE(file.name.empty()) << file.name;
      }
    }
    // The database goes on.
    Write(db.get(), &clock, 1);
    EXPECT_TRUE(db->Snapshot(false).ok());
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace varve
