#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "storage/db.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kNow = int64_t{470'000} * kHour;
constexpr TimeRange kAlways{std::numeric_limits<int64_t>::min(),
                            std::numeric_limits<int64_t>::max()};

Matcher Match(MatchType type, std::string name, std::string value) {
  auto matcher = Matcher::Create(type, std::move(name), std::move(value));
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  return *matcher;
}
Selectors Metric(std::string name) {
  return {{Match(MatchType::kEqual, "__name__", std::move(name))}};
}

Labels Series(std::string_view metric, std::string_view label = "a") {
  return Labels{{"__name__", metric}, {"l", label}};
}

class DbDeleteTest : public testing::Test {
 protected:
  DbDeleteTest() { Open(); }

  void Open() {
    db_.reset();
    DbOptions options;
    options.directory = "/db";
    options.fs = fs_.get();
    options.clock = &clock_;
    options.background = false;
    options.wal_fsync = fsync_;
    auto db = Db::Open(options);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = std::move(*db);
  }
  void Kill() {
    auto image = fs_->KillImage();
    db_.reset();
    fs_ = std::move(image);
    Open();
  }
  /// The power fails; what was not synced is gone.
  void Crash() {
    auto image = fs_->CrashImage();
    db_.reset();
    fs_ = std::move(image);
    Open();
  }

  void Add(const Labels& labels,
           const std::vector<std::pair<int64_t, double>>& samples) {
    auto appender = db_->BeginAppend();
    const auto ref = appender->Resolve(labels);
    ASSERT_TRUE(ref.ok()) << ref.status();
    for (const auto& [t, v] : samples) appender->batch().Add(*ref, t, v);
    const auto result = appender->Commit();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->rejected_total(), 0);
  }
  void Delete(const Selectors& selectors, TimeRange range = kAlways) {
    const absl::Status status = db_->DeleteSeries(selectors, range);
    ASSERT_TRUE(status.ok()) << status;
  }
  void Flush() { ASSERT_TRUE(db_->Flush().ok()); }
  void Clean() {
    const absl::Status status = db_->CleanTombstones();
    ASSERT_TRUE(status.ok()) << status;
  }

  SourceContent Content() { return ReadContent(db_->source()); }
  std::vector<std::string> Names() {
    QueryContext context;
    return *db_->source().LabelNames(context, {}, Hints());
  }
  std::vector<std::string> Values(std::string_view name,
                                  std::vector<Matcher> matchers = {}) {
    QueryContext context;
    return *db_->source().LabelValues(context, name, matchers, Hints());
  }
  std::vector<std::string> Listed(int64_t start_ms, int64_t end_ms) {
    QueryContext context;
    SelectHints hints;
    hints.start_ms = start_ms;
    hints.end_ms = end_ms;
    auto set = *db_->source().Select(context, {}, hints);
    std::vector<std::string> out;
    while (*set->Next()) out.push_back(set->labels().ToString());
    return out;
  }
  static SelectHints Hints() {
    SelectHints hints;
    hints.start_ms = kNow - 1000 * kHour;
    hints.end_ms = kNow + kHour;
    return hints;
  }
  size_t BlockFiles() { return fs_->List("/db/blocks")->size(); }

  ManualClock clock_{kNow};
  FsyncMode fsync_ = FsyncMode::kInterval;
  std::unique_ptr<MemoryFileSystem> fs_ = std::make_unique<MemoryFileSystem>();
  std::unique_ptr<Db> db_;
};

std::map<int64_t, std::string> Floats(
    const std::vector<std::pair<int64_t, double>>& samples) {
  std::map<int64_t, std::string> out;
  for (const auto& [t, v] : samples) out[t] = PrintFloat(v);
  return out;
}

TEST_F(DbDeleteTest, TakesARangeOutOfTheHeadAndKeepsWhatComesLater) {
  std::vector<std::pair<int64_t, double>> samples;
  SourceContent expected;
  // More than a chunk, so that closed ones and the open one are cut.
  for (int i = 0; i < 300; ++i) {
    const int64_t t = kNow - 300'000 + i * 1000;
    samples.emplace_back(t, i);
    if (i < 100 || i > 290) expected["m{l=\"a\"}"][t] = PrintFloat(i);
    expected["n{l=\"a\"}"][t] = PrintFloat(i);
  }
  Add(Series("m"), samples);
  Add(Series("n"), samples);
  Delete(Metric("m"), {kNow - 200'000, kNow - 10'000});
  EXPECT_EQ(Content(), expected);
  EXPECT_EQ(db_->Stats().head_samples_deleted, 191);
  // The same times with other values, out of order and in order.
  Add(Series("m"), {{kNow - 150'000, 7}, {kNow - 10'000, 8}, {kNow, 9}});
  expected["m{l=\"a\"}"][kNow - 150'000] = PrintFloat(7);
  expected["m{l=\"a\"}"][kNow - 10'000] = PrintFloat(8);
  expected["m{l=\"a\"}"][kNow] = PrintFloat(9);
  EXPECT_EQ(Content(), expected);
  Kill();
  EXPECT_EQ(Content(), expected);
  Crash();
  EXPECT_EQ(Content(), expected);
  Flush();
  EXPECT_EQ(Content(), expected);
  Clean();
  EXPECT_EQ(Content(), expected);
  EXPECT_EQ(db_->Stats().deletions_pending, 0);
  Kill();
  EXPECT_EQ(Content(), expected);
}

TEST_F(DbDeleteTest, TheNewestSampleCanBeWrittenAgain) {
  Add(Series("m"), {{kNow - 2, 1}, {kNow - 1, 2}, {kNow, 3}});
  Delete(Metric("m"), {kNow, kNow});
  Add(Series("m"), {{kNow, 3}});
  EXPECT_EQ(Content()["m{l=\"a\"}"],
            Floats({{kNow - 2, 1}, {kNow - 1, 2}, {kNow, 3}}));
  // Also when it stands in a block and is only remembered in the head.
  Flush();
  Delete(Metric("m"));
  EXPECT_TRUE(Content().empty());
  Add(Series("m"), {{kNow, 3}, {kNow - 1, 5}});
  const auto expected = Floats({{kNow - 1, 5}, {kNow, 3}});
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  Kill();
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  Flush();
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  Clean();
  Kill();
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
}

TEST_F(DbDeleteTest, TakesHistogramsAndStartTimestampsToo) {
  auto appender = db_->BeginAppend();
  const SeriesRef ref = *appender->Resolve(Series("m"));
  FloatHistogram h;
  h.sum = 1;
  h.count = 1;
  h.positive_spans = {{1, 1}};
  h.positive_buckets = {1};
  for (int i = 0; i < 4; ++i) {
    appender->batch().histograms.push_back(
        {ref, kNow + 2 * i, kNow - 5, std::make_shared<const Histogram>(h)});
    appender->batch().Add(ref, kNow + 2 * i + 1, i);
    appender->batch().start_timestamps.push_back(kNow - 9);
  }
  ASSERT_TRUE(appender->Commit().ok());
  appender.reset();
  const SourceContent all = Content();
  ASSERT_EQ(all.at("m{l=\"a\"}").size(), 8u);
  for (const bool sealed : {false, true}) {
    if (sealed) Flush();
    const int64_t from = sealed ? kNow + 5 : kNow + 2;
    Delete(Metric("m"), {from, from + 1});
    SourceContent expected = all;
    for (auto& [series, samples] : expected) {
      std::erase_if(samples, [&](const auto& sample) {
        return (sample.first >= kNow + 2 && sample.first <= kNow + 3) ||
               (sealed && sample.first >= from && sample.first <= from + 1);
      });
    }
    EXPECT_EQ(Content(), expected);
    Kill();
    EXPECT_EQ(Content(), expected);
  }
}

TEST_F(DbDeleteTest, MasksBlocksUntilTheyAreCleaned) {
  for (int hour = 0; hour < 60; hour += 3) {
    for (const char* l : {"a", "b", "c"}) {
      Add(Series("m", l), {{kNow - hour * kHour, hour}});
      Add(Series("other", l), {{kNow - hour * kHour, hour}});
    }
  }
  Flush();
  const SourceContent before = Content();
  const int64_t bytes = db_->Stats().block_bytes;
  const size_t blocks = BlockFiles();
  ASSERT_GT(blocks, 10u);

  Delete({{Match(MatchType::kEqual, "l", "b")},
          {Match(MatchType::kEqual, "__name__", "m"),
           Match(MatchType::kRegex, "l", "c|d")}},
         {kNow - 40 * kHour, kNow - 10 * kHour});
  SourceContent expected = before;
  for (const char* series : {"m{l=\"b\"}", "other{l=\"b\"}", "m{l=\"c\"}"}) {
    std::erase_if(expected[series], [&](const auto& sample) {
      return sample.first >= kNow - 40 * kHour &&
             sample.first <= kNow - 10 * kHour;
    });
  }
  EXPECT_EQ(Content(), expected);
  EXPECT_EQ(db_->Stats().deletions_pending, 1);
  EXPECT_EQ(Listed(kNow - 30 * kHour, kNow - 20 * kHour),
            (std::vector<std::string>{"m{l=\"a\"}", "other{l=\"a\"}",
                                      "other{l=\"c\"}"}));
  Kill();
  EXPECT_EQ(Content(), expected);
  Clean();
  EXPECT_EQ(Content(), expected);
  EXPECT_GT(db_->Stats().blocks_cleaned, 0);
  EXPECT_LT(db_->Stats().block_bytes, bytes);
  EXPECT_EQ(db_->Stats().deletions_pending, 0);
  Kill();
  EXPECT_EQ(Content(), expected);

  Delete({{Match(MatchType::kRegex, "__name__", ".+")}});
  EXPECT_TRUE(Content().empty());
  Clean();
  EXPECT_EQ(BlockFiles(), 0u);
  EXPECT_EQ(db_->Stats().blocks, 0);
  EXPECT_EQ(db_->Stats().head_series, 0);
  Kill();
  EXPECT_TRUE(Content().empty());
}

TEST_F(DbDeleteTest, VanishedNamesAndValuesAreNotListed) {
  Add(Labels{{"__name__", "m"}, {"only", "x"}, {"l", "1"}}, {{kNow, 1}});
  Add(Labels{{"__name__", "m"}, {"l", "2"}}, {{kNow, 1}});
  Add(Labels{{"__name__", "n"}, {"l", "2"}}, {{kNow, 1}});
  for (const bool sealed : {false, true}) {
    if (sealed) {
      Add(Labels{{"__name__", "m"}, {"only", "x"}, {"l", "1"}}, {{kNow, 1}});
      Flush();
    }
    EXPECT_EQ(Names(), (std::vector<std::string>{"__name__", "l", "only"}));
    Delete({{Match(MatchType::kEqual, "l", "1")}});
    EXPECT_EQ(Names(), (std::vector<std::string>{"__name__", "l"}));
    EXPECT_EQ(Values("only"), std::vector<std::string>());
    EXPECT_EQ(Values("l"), std::vector<std::string>{"2"});
    EXPECT_EQ(Values("l", Metric("m")[0]), std::vector<std::string>{"2"});
    Kill();
    EXPECT_EQ(Names(), (std::vector<std::string>{"__name__", "l"}));
    EXPECT_EQ(Values("l"), std::vector<std::string>{"2"});
  }
  Delete(Metric("m"));
  EXPECT_EQ(Values("__name__"), std::vector<std::string>{"n"});
  Delete(Metric("n"));
  EXPECT_TRUE(Names().empty());
}

TEST_F(DbDeleteTest, WhatMatchesNothingLeavesNothingBehind) {
  Add(Series("m"), {{kNow, 1}});
  Flush();
  Add(Series("m"), {{kNow + 1, 1}});
  const SourceContent before = Content();
  Delete(Metric("no_such_metric"));
  Delete({});
  Delete({{}});  // as Prometheus has it
  Delete(Metric("m"), {kNow + 5, kNow + 6});
  Delete(Metric("m"), {kNow + 1, kNow});
  EXPECT_EQ(db_->Stats().deletions_pending, 0);
  EXPECT_EQ(Content(), before);
  for (int i = 0; i < 3; ++i) Delete(Metric("m"));
  EXPECT_EQ(db_->Stats().deletions_pending, 1);
  EXPECT_EQ(db_->Stats().deletions, 1);
}

TEST_F(DbDeleteTest, TooManyThatWaitAreRefused) {
  Add(Series("m"), {{kNow, 1}});
  Selectors large{
      {Match(MatchType::kNotEqual, "l", std::string(kDeletionBytesMax, 'x'))}};
  EXPECT_EQ(db_->DeleteSeries(large, kAlways).code(),
            absl::StatusCode::kInvalidArgument);
  large[0][0] = Match(MatchType::kNotEqual, "l",
                      std::string(kDeletionBytesMax - 100, 'x'));
  int accepted = 0;
  absl::Status status;
  for (; accepted < 1000 && status.ok(); ++accepted) {
    Add(Series("m"), {{kNow + accepted, 1}});
    status = db_->DeleteSeries(large, kAlways);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_GE(accepted, 50);
  EXPECT_LE(accepted, 100);
  EXPECT_EQ(Content().size(), 1u);  // the last one is still there
  Flush();
  Clean();
  Delete(large);
  EXPECT_TRUE(Content().empty());
}

TEST_F(DbDeleteTest, ALogThatWasLostTakesNothingNewWithIt) {
  fsync_ = FsyncMode::kNever;
  Open();
  Add(Series("old"), {{kNow, 1}});
  Flush();
  for (int i = 0; i < 5; ++i) {
    Add(Series("m"), {{kNow + i, 1}});
    Delete(Metric("m"));
  }
  Crash();  // the segments are gone, the deletions are not
  EXPECT_EQ(Content().size(), 1u);
  Add(Series("m"), {{kNow + 10, 2}});
  Kill();
  EXPECT_EQ(Content()["m{l=\"a\"}"], Floats({{kNow + 10, 2}}));
}

TEST_F(DbDeleteTest, TakesWhatStandsInACheckpoint) {
  for (const bool clean : {false, true}) {
    Add(Series("m"), {{kNow - kMinute, 1}, {kNow, 2}});
    Add(Series("n"), {{kNow, 2}});
    ASSERT_TRUE(db_->Close().ok());
    Open();
    ASSERT_GT(db_->Stats().checkpoint_bytes, 0);
    // The log is as the checkpoint left it, so both have the same number.
    Delete(Metric("m"), {kNow, kNow});
    if (clean) {
      Clean();
      EXPECT_EQ(db_->Stats().deletions_pending, 0);
    }
    const SourceContent expected{{"m{l=\"a\"}", Floats({{kNow - kMinute, 1}})},
                                 {"n{l=\"a\"}", Floats({{kNow, 2}})}};
    EXPECT_EQ(Content(), expected);
    Kill();
    EXPECT_EQ(Content(), expected);
    Crash();
    EXPECT_EQ(Content(), expected);
  }
}

TEST_F(DbDeleteTest, SparesWhatACheckpointHoldsThatWasWrittenLater) {
  Add(Series("m"), {{kNow - 5 * kHour, 1}, {kNow, 2}});
  Flush();
  Delete(Metric("m"));
  Add(Series("m"), {{kNow - 5 * kHour, 3}, {kNow, 4}});
  ASSERT_TRUE(db_->Close().ok());  // with a checkpoint
  Open();
  ASSERT_EQ(db_->Stats().deletions_pending, 1);  // the block is as it was
  const auto expected = Floats({{kNow - 5 * kHour, 3}, {kNow, 4}});
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  Clean();
  EXPECT_EQ(db_->Stats().deletions_pending, 0);
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  Kill();
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
}

TEST_F(DbDeleteTest, AFailingManifestDeletesNothing) {
  FaultFileSystem fault(fs_.get());
  db_.reset();
  DbOptions options;
  options.directory = "/db";
  options.fs = &fault;
  options.clock = &clock_;
  options.background = false;
  auto db = Db::Open(options);
  ASSERT_TRUE(db.ok()) << db.status();
  db_ = std::move(*db);
  Add(Series("m"), {{kNow - 3 * kHour, 1}, {kNow, 1}});
  ASSERT_TRUE(db_->Maintain().ok());
  const SourceContent before = Content();
  fault.SetHook([](FaultFileSystem::Op op, const std::string& path) {
    return path.find("/index/") != std::string::npos &&
                   op == FaultFileSystem::Op::kAppend
               ? absl::UnavailableError("input/output error")
               : absl::OkStatus();
  });
  EXPECT_FALSE(db_->DeleteSeries(Metric("m"), kAlways).ok());
  EXPECT_EQ(Content(), before);
  fault.Heal();
  db_.reset();  // it holds `fault`
}

/// The write of a deletion that fails may stand on the disk all the same, as
/// with a sync that fails after the bytes were written.
TEST_F(DbDeleteTest, AFailedDeletionIsUndone) {
  FaultFileSystem fault(fs_.get());
  db_.reset();
  DbOptions options;
  options.directory = "/db";
  options.fs = &fault;
  options.clock = &clock_;
  options.background = false;
  auto db = Db::Open(options);
  ASSERT_TRUE(db.ok()) << db.status();
  db_ = std::move(*db);
  Add(Series("m"), {{kNow - 3 * kHour, 1}});
  Flush();
  Add(Series("m"), {{kNow, 1}});
  const auto expected = Floats({{kNow - 3 * kHour, 1}, {kNow, 1}});
  fault.SetHook([](FaultFileSystem::Op op, const std::string& path) {
    return path.find("/index/") != std::string::npos &&
                   op == FaultFileSystem::Op::kSync
               ? absl::UnavailableError("input/output error")
               : absl::OkStatus();
  });
  EXPECT_FALSE(db_->DeleteSeries(Metric("m"), kAlways).ok());
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  // A process that is killed now leaves the deletion, as of a crash in its
  // midst.
  const auto killed = fs_->KillImage();
  fault.SetHook(nullptr);
  // A checkpoint is not put to deletions before it, so this one must be gone
  // before there is one: a clean stop undoes it.
  ASSERT_TRUE(db_->Close().ok());
  Open();
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  EXPECT_EQ(db_->Stats().deletions_pending, 0);
  Kill();
  EXPECT_EQ(Content()["m{l=\"a\"}"], expected);
  // The next deletion has a number of its own.
  Delete(Metric("m"), {kNow, kNow});
  Kill();
  EXPECT_EQ(Content()["m{l=\"a\"}"], Floats({{kNow - 3 * kHour, 1}}));

  options.fs = killed.get();
  db = Db::Open(options);
  ASSERT_TRUE(db.ok()) << db.status();
  EXPECT_EQ((*db)->Stats().deletions_pending, 1);
  EXPECT_TRUE(ReadContent((*db)->source()).empty());
  db->reset();  // it holds `killed`
}

TEST_F(DbDeleteTest, ReadersAndWritersGoOnMeanwhile) {
  std::mt19937_64 random(TestSeed());
  for (int i = 0; i < 200; ++i) {
    Add(Series("m", std::to_string(i)), {{kNow - kHour, 1}, {kNow, 1}});
  }
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int n = 1; n <= 60; ++n) {
      auto appender = db_->BeginAppend();
      for (int i = 0; i < 50; ++i) {
        const auto ref = appender->Resolve(Series("kept", std::to_string(i)));
        ASSERT_TRUE(ref.ok());
        appender->batch().Add(*ref, kNow + n, n);
      }
      ASSERT_TRUE(appender->Commit().ok());
    }
    done = true;
  });
  std::thread reader([&] {
    while (!done) {
      for (const auto& [series, samples] : Content()) {
        if (series.starts_with("kept")) continue;
        EXPECT_LE(samples.size(), 2u);
      }
    }
  });
  for (int i = 0; i < 200; ++i) {
    Delete({{Match(MatchType::kEqual, "l", std::to_string(i)),
             Match(MatchType::kEqual, "__name__", "m")}});
    if (i % 60 == 30) Flush();
    if (i % 70 == 40) Clean();
  }
  writer.join();
  reader.join();
  const SourceContent content = Content();
  EXPECT_EQ(content.size(), 50u);
  for (const auto& [series, samples] : content) {
    EXPECT_EQ(samples.size(), 60u) << series;
  }
}

}  // namespace
}  // namespace varve
