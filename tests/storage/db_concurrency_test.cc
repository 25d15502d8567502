#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "storage/db.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kNow = int64_t{470'000} * 60 * kMinute;

class DbConcurrency : public testing::Test {
 protected:
  DbConcurrency() {
    options_.directory = "/db";
    options_.fs = &fs_;
    options_.clock = &clock_;
    options_.background = false;
    options_.window_ms = 10 * kMinute;
    auto db = Db::Open(options_);
    EXPECT_TRUE(db.ok()) << db.status();
    db_ = std::move(*db);
  }

  Labels Series(int writer, int i) {
    return Labels{{"__name__", "m"},
                  {"writer", std::to_string(writer)},
                  {"i", std::to_string(i)}};
  }

  /// One commit: all series of the writer at one time, with one value.
  void Write(int writer, int series, int64_t t, double v) {
    auto appender = db_->BeginAppend();
    for (int i = 0; i < series; ++i) {
      const auto ref = appender->Resolve(Series(writer, i));
      ASSERT_TRUE(ref.ok());
      appender->batch().Add(*ref, t, v);
    }
    const auto result = appender->Commit();
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->rejected_total(), 0);
  }

  ManualClock clock_{kNow};
  MemoryFileSystem fs_;
  DbOptions options_;
  std::unique_ptr<Db> db_;
};

/// What one reader sees of one writer must be whole commits, the first so and
/// so many of them, in every series the same.
void ExpectWholeCommits(const SourceContent& content, int series,
                        int64_t first_t, int64_t step) {
  std::map<std::string, std::vector<const std::map<int64_t, std::string>*>>
      by_writer;
  for (const auto& [name, samples] : content) {
    by_writer[name.substr(name.find("writer="))].push_back(&samples);
  }
  for (const auto& [writer, all] : by_writer) {
    ASSERT_EQ(all.size(), static_cast<size_t>(series)) << writer;
    for (const auto* samples : all) ASSERT_EQ(*samples, *all.front());
    int64_t t = first_t;
    for (const auto& [time, value] : *all.front()) {
      ASSERT_EQ(time, t);
      t += step;
    }
  }
}

TEST_F(DbConcurrency, CommitsAreVisibleAsAWhole) {
  constexpr int kWriters = 2;
  constexpr int kSeries = 7;
  constexpr int kCommits = 150;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::atomic<int> writing{kWriters};
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      for (int c = 0; c < kCommits; ++c) {
        Write(w, kSeries, kNow + c * 1000, c);
      }
      if (--writing == 0) stop = true;
    });
  }
  threads.emplace_back([&] {
    while (!stop)
      ExpectWholeCommits(ReadContent(db_->source()), kSeries, kNow, 1000);
  });
  for (auto& thread : threads) thread.join();
  const auto content = ReadContent(db_->source());
  ASSERT_EQ(content.size(), size_t{kWriters * kSeries});
  for (const auto& [name, samples] : content) {
    EXPECT_EQ(samples.size(), size_t{kCommits});
  }
}

TEST_F(DbConcurrency, AReplayDecidesConflictsAsTheHeadDid) {
  constexpr int kRounds = 40;
  constexpr int kMany = 4000;
  std::vector<SeriesRef> refs;
  {
    auto appender = db_->BeginAppend();
    for (int i = 0; i < kMany; ++i) {
      refs.push_back(*appender->Resolve(Series(0, i)));
      appender->batch().Add(refs.back(), kNow - kMinute, 0);
    }
    ASSERT_TRUE(appender->Commit().ok());
  }
  for (int round = 0; round < kRounds; ++round) {
    const int64_t t = kNow + round * 1000;
    const int64_t logged = db_->Stats().wal_bytes;
    // Storing this takes a while, and the contested series comes last.
    std::thread large([&] {
      auto appender = db_->BeginAppend();
      for (const SeriesRef ref : refs) appender->batch().Add(ref, t, 1);
      EXPECT_TRUE(appender->Commit().ok());
    });
    // Logged after it, and soon ready to be stored.
    auto appender = db_->BeginAppend();
    appender->batch().Add(refs.back(), t, 2);
    for (int64_t spin = 0; spin < 100'000'000; ++spin) {
      if (db_->Stats().wal_bytes != logged) break;
    }
    EXPECT_TRUE(appender->Commit().ok());
    large.join();
  }
  const SourceContent before = ReadContent(db_->source());
  const auto image = fs_.KillImage();
  DbOptions options = options_;
  options.fs = image.get();
  const auto other = Db::Open(options);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(ReadContent((*other)->source()), before);
}

TEST_F(DbConcurrency, ReadersSeeEverySampleOnceWhileWindowsAreSealed) {
  constexpr int kWriters = 2;
  constexpr int kSeries = 5;
  constexpr int kCommitsMax = 1500;
  constexpr int kSealings = 6;
  constexpr int64_t kStep = kMinute;
  std::atomic<int64_t> acknowledged[kWriters] = {};
  std::atomic<bool> sealed{false};
  // One writer may be far ahead of the other, but not of the clock.
  clock_.Set(kNow + kCommitsMax * kStep);
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      for (int c = 0; c < kCommitsMax && !sealed; ++c) {
        Write(w, kSeries, kNow + c * kStep, c);
        acknowledged[w] = c + 1;
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < kSealings; ++i) {
      // Something new must be there, or nothing would be sealed.
      const int64_t before = acknowledged[0];
      for (int64_t spin = 0;
           spin < 1'000'000'000 && before + 10 < kCommitsMax &&
           acknowledged[0] < before + 10;
           ++spin) {
        std::this_thread::yield();
      }
      if (i % 3 == 2) {
        EXPECT_TRUE(db_->Flush().ok());
      } else {
        EXPECT_TRUE(db_->Maintain().ok());
      }
    }
    sealed = true;
  });
  threads.emplace_back([&] {
    while (!sealed) {
      int64_t before[kWriters];
      for (int w = 0; w < kWriters; ++w) before[w] = acknowledged[w];
      const auto content = ReadContent(db_->source());
      ExpectWholeCommits(content, kSeries, kNow, kStep);
      for (int w = 0; w < kWriters; ++w) {
        if (before[w] == 0) continue;
        const auto it = content.find(Series(w, 0).ToString());
        ASSERT_NE(it, content.end());
        ASSERT_GE(static_cast<int64_t>(it->second.size()), before[w]);
      }
    }
  });
  for (auto& thread : threads) thread.join();
  const auto content = ReadContent(db_->source());
  ASSERT_EQ(content.size(), size_t{kWriters * kSeries});
  for (int w = 0; w < kWriters; ++w) {
    for (int i = 0; i < kSeries; ++i) {
      EXPECT_EQ(
          static_cast<int64_t>(content.at(Series(w, i).ToString()).size()),
          acknowledged[w]);
    }
  }
  EXPECT_GT(db_->Stats().blocks, 3);
}

TEST_F(DbConcurrency, ManyResolveTheSameNewSeries) {
  constexpr int kThreads = 4;
  constexpr int kSeries = 300;
  std::vector<std::vector<SeriesRef>> refs(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kSeries; ++i) {
        auto appender = db_->BeginAppend();
        const auto ref = appender->Resolve(Series(0, i));
        ASSERT_TRUE(ref.ok());
        refs[t].push_back(*ref);
        appender->batch().Add(*ref, kNow + t, t);
        ASSERT_TRUE(appender->Commit().ok());
        // Whoever resolved it first, the series is in the log by now.
        if (i % 100 == 99) {
          auto image = fs_.KillImage();
          DbOptions options;
          options.directory = "/db";
          options.fs = image.get();
          options.clock = &clock_;
          options.background = false;
          auto copy = Db::Open(options);
          ASSERT_TRUE(copy.ok());
          const auto content = ReadContent((*copy)->source());
          for (int k = 0; k <= i; ++k) {
            ASSERT_TRUE(content.contains(Series(0, k).ToString()));
            ASSERT_TRUE(content.at(Series(0, k).ToString()).contains(kNow + t));
          }
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (int t = 1; t < kThreads; ++t) EXPECT_EQ(refs[t], refs[0]);
  EXPECT_EQ(db_->Stats().head_series, kSeries);
}

TEST_F(DbConcurrency, SeriesAreCollectedUnderWriters) {
  constexpr int kRounds = 40;
  std::atomic<bool> stop{false};
  std::thread maintenance([&] {
    while (!stop) EXPECT_TRUE(db_->Maintain().ok());
  });
  std::thread reader([&] {
    while (!stop) (void)ReadContent(db_->source());
  });
  for (int round = 0; round < kRounds; ++round) {
    const int64_t t = kNow + round * 7 * kMinute;
    clock_.Set(t);
    for (int k = 0; k < 4; ++k) Write(round, 20, t + k, round);
  }
  stop = true;
  maintenance.join();
  reader.join();
  ASSERT_TRUE(db_->Flush().ok());
  const auto content = ReadContent(db_->source());
  ASSERT_EQ(content.size(), size_t{kRounds * 20});
  for (const auto& [name, samples] : content) EXPECT_EQ(samples.size(), 4u);
  EXPECT_GT(db_->Stats().head_series_removed, 0);
}

}  // namespace
}  // namespace varve
