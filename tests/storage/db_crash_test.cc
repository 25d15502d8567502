#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "storage/db.h"
#include "storage/mutex.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kNow = int64_t{470'000} * 60 * kMinute;

DbOptions OptionsOn(FileSystem* fs, Clock* clock) {
  DbOptions options;
  options.directory = "/db";
  options.fs = fs;
  options.clock = clock;
  options.background = false;
  options.wal_fsync = FsyncMode::kAlways;
  options.window_ms = 10 * kMinute;
  options.wal_segment_bytes = 2048;
  options.checkpoint_bytes = 1500;
  return options;
}

/// What a database must and must not hold after a crash.
struct Promise {
  SourceContent acknowledged;
  SourceContent deleted;
};

/// Writes and deletes on and on, and remembers what was acknowledged.
class Traffic {
 public:
  explicit Traffic(ManualClock* clock) : clock_(clock) {}

  /// One commit; its content counts once the Db has acknowledged it.
  void Write(Db* db) {
    clock_->Advance(kMinute);
    const int64_t t = clock_->NowMs();
    auto appender = db->BeginAppend();
    std::vector<std::pair<std::string, int64_t>> samples;
    const double v = static_cast<double>(++commits_);
    for (int i = 0; i < 6; ++i) {
      const Labels labels{{"__name__", "m"},
                          {"i", std::to_string(i)},
                          {"era", std::to_string(commits_ / 30)}};
      const auto ref = appender->Resolve(labels);
      if (!ref.ok()) return;
      const int64_t at = i == 5 ? t - 25 * kMinute : t;
      appender->batch().Add(*ref, at, v);
      samples.emplace_back(labels.ToString(), at);
    }
    {
      MutexLock lock(&mutex_);
      for (const auto& [series, at] : samples)
        promise_.deleted[series].erase(at);
    }
    if (!appender->Commit().ok()) return;
    MutexLock lock(&mutex_);
    for (const auto& [series, at] : samples) {
      promise_.acknowledged[series][at] = PrintFloat(v);
    }
  }

  /// Deletes the samples of one `i` that are older than `age_ms`.
  void Delete(Db* db, int i, int64_t age_ms) {
    const std::string label = std::to_string(i);
    const TimeRange range{0, clock_->NowMs() - age_ms};
    SourceContent going;
    {
      MutexLock lock(&mutex_);
      for (auto& [series, samples] : promise_.acknowledged) {
        if (series.find("i=\"" + label + "\"") == std::string::npos) continue;
        const auto end = samples.upper_bound(range.last_ms);
        going[series].insert(samples.begin(), end);
        samples.erase(samples.begin(), end);
      }
    }
    const Selectors selectors{
        {*Matcher::Create(MatchType::kEqual, "__name__", "m"),
         *Matcher::Create(MatchType::kEqual, "i", label)}};
    if (!db->DeleteSeries(selectors, range).ok()) return;
    MutexLock lock(&mutex_);
    for (const auto& [series, samples] : going) {
      promise_.deleted[series].insert(samples.begin(), samples.end());
    }
  }

  /// Also called by the file system's hook, on RocksDB's threads.
  Promise promise() const {
    MutexLock lock(&mutex_);
    return promise_;
  }
  SourceContent acknowledged() const { return promise().acknowledged; }
  void StartOver() {
    MutexLock lock(&mutex_);
    promise_ = Promise();
  }

 private:
  ManualClock* const clock_;
  int commits_ = 0;
  mutable Mutex mutex_;
  Promise promise_ ABSL_GUARDED_BY(mutex_);
};

/// Everything acknowledged is there, bit for bit, and nothing that was deleted;
/// more may be.
void ExpectHolds(FileSystem* fs, ManualClock* clock, const Promise& promise) {
  auto db = Db::Open(OptionsOn(fs, clock));
  ASSERT_TRUE(db.ok()) << db.status();
  EXPECT_EQ((*db)->Stats().wal_corruptions, 0);
  EXPECT_EQ((*db)->Stats().blocks_damaged, 0);
  const SourceContent found = ReadContent((*db)->source());
  for (const auto& [series, samples] : promise.deleted) {
    const auto it = found.find(series);
    if (it == found.end()) continue;
    for (const auto& [t, text] : samples) {
      ASSERT_FALSE(it->second.contains(t)) << series << " " << t;
    }
  }
  for (const auto& [series, samples] : promise.acknowledged) {
    const auto it = found.find(series);
    ASSERT_TRUE(it != found.end() || samples.empty()) << series;
    for (const auto& [t, text] : samples) {
      const auto at = it->second.find(t);
      ASSERT_NE(at, it->second.end()) << series << " " << t;
      ASSERT_EQ(at->second, text) << series << " " << t;
    }
  }
}

TEST(DbCrash, AForgettingDiskLosesNothingAcknowledged) {
  std::mt19937_64 random(TestSeed());
  ManualClock clock(kNow);
  Traffic traffic(&clock);
  auto disk = std::make_unique<MemoryFileSystem>();
  for (int life = 0; life < 16; ++life) {
    SCOPED_TRACE(life);
    FaultFileSystem fs(disk.get());
    std::unique_ptr<MemoryFileSystem> image;
    Promise at_crash;
    // The power fails before some file call in the middle of things.
    const int64_t crash_at = 1 + static_cast<int64_t>(random() % 600);
    std::atomic<int64_t> calls{0};
    const uint64_t image_seed = random();
    fs.SetHook([&](FaultFileSystem::Op, const std::string&) {
      if (++calls == crash_at) {
        // In this order: what is acknowledged in between counts as not.
        at_crash = traffic.promise();
        image = disk->CrashImage(image_seed);
      }
      return absl::OkStatus();
    });
    auto db = Db::Open(OptionsOn(&fs, &clock));
    ASSERT_TRUE(db.ok()) << db.status();
    // Days that are over are merged, unless the crash comes first.
    if (life % 2 != 0) {
      ASSERT_TRUE((*db)->Flush().ok());
    }
    ASSERT_TRUE((*db)->Maintain().ok());
    for (int i = 0; i < 60 && calls < crash_at; ++i) {
      traffic.Write(db->get());
      const uint64_t dice = random() % 20;
      if (dice == 0) {
        ASSERT_TRUE((*db)->Flush().ok());
      } else if (dice <= 4) {
        ASSERT_TRUE((*db)->Maintain().ok());
      } else if (dice < 4) {
        traffic.Delete(db->get(), static_cast<int>(random() % 6),
                       static_cast<int64_t>(random() % 40) * kMinute);
      } else if (dice == 4) {
        ASSERT_TRUE((*db)->CleanTombstones().ok());
      }
    }
    db->reset();  // ends RocksDB's threads, which may be in the hook
    if (image == nullptr) {
      image = disk->CrashImage(image_seed);
      at_crash = traffic.promise();
    }
    // What came after the image did not happen.
    ExpectHolds(image.get(), &clock, at_crash);
    disk = std::move(image);
    traffic.StartOver();
    clock.Advance((life % 3 == 0 ? 20 * 60 : 60) * kMinute);
  }
}

TEST(DbCrash, EveryFailingCallCostsAnErrorAtMost) {
  // A third of the calls belongs to the opening; all kinds are hit.
  for (int64_t n = 1; n < 400; n += 13) {
    SCOPED_TRACE(n);
    ManualClock clock(kNow);
    MemoryFileSystem disk;
    FaultFileSystem fs(&disk);
    Traffic traffic(&clock);
    fs.FailCall(n, absl::UnavailableError("input/output error"),
                FaultFileSystem::kWrites);
    auto db = Db::Open(OptionsOn(&fs, &clock));
    if (db.ok()) {
      for (int i = 0; i < 12; ++i) {
        traffic.Write(db->get());
        if (i % 3 == 2) (void)(*db)->Maintain();
        if (i % 5 == 4) (void)(*db)->Flush();
        if (i % 4 == 2) traffic.Delete(db->get(), i % 6, i * kMinute);
        if (i % 6 == 5) (void)(*db)->CleanTombstones();
      }
      // Nothing acknowledged is missing now either.
      const SourceContent found = ReadContent((*db)->source());
      for (const auto& [series, samples] : traffic.acknowledged()) {
        ASSERT_TRUE(found.contains(series) || samples.empty()) << series;
        for (const auto& [t, text] : samples) {
          ASSERT_TRUE(found.at(series).contains(t)) << series << " " << t;
        }
      }
    }
    auto image = disk.CrashImage();
    if (db.ok()) db->reset();
    fs.Heal();
    ExpectHolds(image.get(), &clock, traffic.promise());
  }
}

}  // namespace
}  // namespace varve
