#include "storage/db.h"

#include <gtest/gtest.h>

#include <bit>

#include "tests/support/fault_file_system.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kDayMs = 24 * kHour;
constexpr int64_t kNow = int64_t{470'000} * kHour;

class DbTest : public testing::Test {
 protected:
  DbTest() { Open(); }

  DbOptions Options() {
    DbOptions options;
    options.directory = "/db";
    options.fs = fs_.get();
    options.clock = &clock_;
    options.background = false;
    return options;
  }
  void Open() {
    db_.reset();
    auto db = Db::Open(Options());
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = std::move(*db);
  }
  /// As after kill -9.
  void Kill() {
    auto image = fs_->KillImage();
    db_.reset();
    fs_ = std::move(image);
    Open();
  }
  WriteResult Add(const Labels& labels,
                  const std::vector<std::pair<int64_t, double>>& samples) {
    auto appender = db_->BeginAppend();
    const auto ref = appender->Resolve(labels);
    EXPECT_TRUE(ref.ok()) << ref.status();
    for (const auto& [t, v] : samples) appender->batch().Add(*ref, t, v);
    auto result = appender->Commit();
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  }
  SourceContent Content() { return ReadContent(db_->source()); }

  ManualClock clock_{kNow};
  std::unique_ptr<MemoryFileSystem> fs_ = std::make_unique<MemoryFileSystem>();
  std::unique_ptr<Db> db_;
};

const Labels kUp{{"__name__", "up"}, {"job", "a"}};

TEST_F(DbTest, GivesBackWhatWasWrittenAlsoAfterAKill) {
  Add(kUp, {{kNow, 1}, {kNow + 1000, StaleNan()}, {kNow + 500, -0.0}});
  const SourceContent expected = {{kUp.ToString(),
                                   {{kNow, PrintFloat(1)},
                                    {kNow + 500, PrintFloat(-0.0)},
                                    {kNow + 1000, PrintFloat(StaleNan())}}}};
  EXPECT_EQ(Content(), expected);
  Kill();
  EXPECT_EQ(Content(), expected);
  Kill();
  EXPECT_EQ(Content(), expected);
}

TEST_F(DbTest, FirstValueOfATimeWins) {
  WriteResult r = Add(kUp, {{kNow, 1}, {kNow, 1}, {kNow, 2}});
  EXPECT_EQ(r.samples_stored, 2);
  EXPECT_EQ(r.rejected[static_cast<int>(Rejection::kDuplicate)], 1);
  ASSERT_EQ(r.examples.size(), 1u);
  EXPECT_EQ(r.examples[0].timestamp_ms, kNow);
  Add(kUp, {{kNow + 1000, 3}, {kNow + 2000, 4}});
  r = Add(kUp, {{kNow + 1000, 3},
                {kNow + 1000, 5},
                {kNow + 1500, 6},
                {kNow + 1500, 6},
                {kNow + 1500, 7}});
  EXPECT_EQ(r.samples_stored, 3);
  EXPECT_EQ(r.rejected_total(), 2);
  EXPECT_EQ(Content()[kUp.ToString()][kNow + 1500], PrintFloat(6));
}

TEST_F(DbTest, RefusesTimesOutsideOfWhatIsKept) {
  const int64_t oldest = kNow - Options().retention.time_ms;
  const int64_t newest = kNow + Options().ahead_ms_max;
  const WriteResult r =
      Add(kUp, {{oldest - 1, 1}, {oldest, 1}, {newest, 1}, {newest + 1, 1}});
  EXPECT_EQ(r.samples_stored, 2);
  EXPECT_EQ(r.rejected[static_cast<int>(Rejection::kTooOld)], 1);
  EXPECT_EQ(r.rejected[static_cast<int>(Rejection::kTooFarAhead)], 1);
  EXPECT_EQ(db_->Stats().samples_rejected[1], 1);
}

TEST_F(DbTest, RetentionMayChange) {
  const int64_t time_ms = Options().retention.time_ms;
  Add(kUp, {{kNow - kDayMs - 1, 1}, {kNow - kDayMs, 2}, {kNow, 3}});
  db_->SetRetention({.time_ms = kDayMs});
  EXPECT_EQ(Content()[kUp.ToString()].size(), 2u);
  EXPECT_EQ(Add(kUp, {{kNow - kDayMs - 2, 1}}).samples_stored, 0);
  db_->SetRetention({});
  EXPECT_EQ(Content()[kUp.ToString()].size(), 3u);
  EXPECT_EQ(Add(kUp, {{kNow - time_ms - 1, 1}}).samples_stored, 1);
  // The blocks of days that are over go.
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(db_->Stats().blocks, 4);
  db_->SetRetention({.time_ms = 2 * kDayMs});
  EXPECT_TRUE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().blocks_dropped_by_time, 1);
  db_->SetRetention({});
  EXPECT_EQ(Content()[kUp.ToString()].size(), 3u);
}

TEST_F(DbTest, TheOldestBlocksGoWhenThereIsTooMuch) {
  for (int day = 5; day >= 0; --day) Add(kUp, {{kNow - day * kDayMs, 1}});
  ASSERT_TRUE(db_->Flush().ok());
  const DbStats before = db_->Stats();
  ASSERT_EQ(before.blocks, 6);
  const auto kept =
      static_cast<uint64_t>(before.wal_bytes + before.checkpoint_bytes) +
      static_cast<uint64_t>(before.block_bytes) / 6 * 2;
  db_->SetRetention({.bytes = kept + 100});
  EXPECT_TRUE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().blocks, 2);
  EXPECT_EQ(db_->Stats().blocks_dropped_by_size, 4);
  EXPECT_EQ(Content()[kUp.ToString()].begin()->first, kNow - kDayMs);
  // The last one stays whatever the limit says.
  db_->SetRetention({.bytes = 1});
  EXPECT_TRUE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().blocks, 1);
  (void)*db_->Maintain();
  EXPECT_EQ(Content()[kUp.ToString()].size(), 1u);
}

TEST_F(DbTest, HonoursAnOutOfOrderWindow) {
  Add(kUp, {{kNow, 1}});
  db_->SetOutOfOrderWindow(60'000);
  WriteResult r = Add(kUp, {{kNow - 60'000, 1}, {kNow - 60'001, 1}});
  EXPECT_EQ(r.samples_stored, 1);
  EXPECT_EQ(r.rejected[static_cast<int>(Rejection::kTooOld)], 1);
  db_->SetOutOfOrderWindow(std::nullopt);
  EXPECT_EQ(Add(kUp, {{kNow - 60'001, 1}}).samples_stored, 1);
}

TEST_F(DbTest, KeepsHistogramsStartsExemplarsAndMetadata) {
  IntHistogram h;
  h.schema = 3;
  h.count = 5;
  h.zero_count = 2;
  h.sum = 1.5;
  h.zero_threshold = 1e-100;
  h.positive_spans = {{-2, 1}, {3, 2}};
  h.positive_buckets = {1, 1, 1};
  FloatHistogram custom;
  custom.schema = kCustomBucketsSchema;
  custom.count = 3.5;
  custom.sum = 7;
  custom.positive_spans = {{0, 2}};
  custom.positive_buckets = {1.5, 2};
  custom.custom_values = {0.5, 2};
  IntHistogram wrong = h;
  wrong.count = 6;

  auto appender = db_->BeginAppend();
  const SeriesRef ref = *appender->Resolve(kUp);
  WriteBatch& batch = appender->batch();
  batch.Add(ref, kNow, 1);
  batch.Add(ref, kNow + 1, 2);
  batch.start_timestamps = {kNoStartTimestamp, kNow - 7};
  const auto add = [&](int64_t t, int64_t start, Histogram histogram) {
    batch.histograms.push_back(
        {ref, t, start,
         std::make_shared<const Histogram>(std::move(histogram))});
  };
  add(kNow + 10, kNow - 5, h);
  add(kNow + 20, kNoStartTimestamp, custom);
  add(kNow + 30, kNoStartTimestamp, wrong);
  add(kNow, kNoStartTimestamp, h);  // a float has that time
  batch.exemplars.push_back({ref, {Labels{{"trace", "x"}}, 0.5, kNow}});
  batch.exemplars.push_back({ref, {Labels{{"trace", "y"}}, 0.5, kNow - 1}});
  batch.metadata.push_back({"up", {"gauge", "s", "is it up"}});
  const auto result = appender->Commit();
  appender.reset();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->histograms_stored, 2);
  EXPECT_EQ(result->exemplars_stored, 1);
  EXPECT_EQ(result->rejected[static_cast<int>(Rejection::kHistogram)], 1);
  EXPECT_EQ(result->rejected[static_cast<int>(Rejection::kDuplicate)], 1);
  EXPECT_EQ(result->rejected[static_cast<int>(Rejection::kExemplar)], 1);

  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Content(),
              (SourceContent{{kUp.ToString(),
                              {{kNow, PrintFloat(1)},
                               {kNow + 1, PrintFloat(2, kNow - 7)},
                               {kNow + 10, PrintHistogram(h, kNow - 5)},
                               {kNow + 20, PrintHistogram(custom)}}}}));
    const auto metadata = db_->FamilyMetadata();
    ASSERT_EQ(metadata.size(), 1u);
    EXPECT_EQ(metadata[0].second, (Metadata{"gauge", "s", "is it up"}));
    const std::vector<std::vector<Matcher>> any(1);
    const auto exemplars = db_->Exemplars(any, kNow, kNow);
    ASSERT_TRUE(exemplars.ok());
    ASSERT_EQ(exemplars->size(), 1u);
    EXPECT_EQ((*exemplars)[0].labels, kUp);
    EXPECT_EQ((*exemplars)[0].exemplars[0].labels, (Labels{{"trace", "x"}}));
    Kill();
  }
}

TEST_F(DbTest, SelectsByMatchers) {
  for (const char* job : {"a", "b", "c"}) {
    for (const char* name : {"up", "down"}) {
      Add({{"__name__", name}, {"job", job}}, {{kNow, 1}});
    }
  }
  Add({{"__name__", "up"}, {"host", "h"}}, {{kNow, 1}});
  const auto names = [&](const std::vector<Matcher>& matchers) {
    std::string out;
    for (const auto& [series, samples] :
         ReadContent(db_->source(), kNow, kNow, matchers)) {
      out += series + " ";
    }
    return out;
  };
  const auto m = [](MatchType type, std::string name, std::string value) {
    return *Matcher::Create(type, std::move(name), std::move(value));
  };
  const auto up = m(MatchType::kEqual, "__name__", "up");
  EXPECT_EQ(names({up}),
            "up{host=\"h\"} up{job=\"a\"} up{job=\"b\"} "
            "up{job=\"c\"} ");
  EXPECT_EQ(names({up, m(MatchType::kEqual, "job", "")}), "up{host=\"h\"} ");
  EXPECT_EQ(names({up, m(MatchType::kNotEqual, "job", "")}),
            "up{job=\"a\"} up{job=\"b\"} up{job=\"c\"} ");
  EXPECT_EQ(names({m(MatchType::kRegex, "job", "a|c"), up}),
            "up{job=\"a\"} up{job=\"c\"} ");
  EXPECT_EQ(names({m(MatchType::kNotRegex, "job", "[ac]"), up}),
            "up{host=\"h\"} up{job=\"b\"} ");
  EXPECT_EQ(names({m(MatchType::kRegex, "job", "[bc]?"), up}),
            "up{host=\"h\"} up{job=\"b\"} up{job=\"c\"} ");
  EXPECT_EQ(names({m(MatchType::kEqual, "nope", "x")}), "");
  QueryContext context;
  SelectHints hints;
  hints.end_ms = kNow;
  EXPECT_EQ(*db_->source().LabelNames(context, {}, hints),
            (std::vector<std::string>{"__name__", "host", "job"}));
  EXPECT_EQ(*db_->source().LabelValues(context, "job", {}, hints),
            (std::vector<std::string>{"a", "b", "c"}));
  const std::vector<Matcher> host = {m(MatchType::kEqual, "host", "h")};
  EXPECT_EQ(*db_->source().LabelNames(context, host, hints),
            (std::vector<std::string>{"__name__", "host"}));
  EXPECT_EQ(*db_->source().LabelValues(context, "__name__", host, hints),
            (std::vector<std::string>{"up"}));
}

TEST_F(DbTest, ASnapshotDoesNotSeeWhatComesLater) {
  Add(kUp, {{kNow, 1}});
  QueryContext context;
  SelectHints hints;
  hints.start_ms = 0;
  hints.end_ms = kNow + kHour;
  auto set = db_->source().Select(context, {}, hints);
  std::vector<std::pair<int64_t, double>> more;
  for (int i = 1; i < 500; ++i) more.emplace_back(kNow + i * 1000, i * 0.1);
  Add(kUp, more);
  ASSERT_TRUE(*(*set)->Next());
  auto cursor = (*set)->Cursor();
  set->reset();
  SampleColumns batch;
  ASSERT_TRUE(*cursor->Next(&batch));
  EXPECT_EQ(batch.timestamps, std::vector<int64_t>{kNow});
  EXPECT_FALSE(*cursor->Next(&batch));
}

TEST_F(DbTest, WorksBefore1970) {
  db_.reset();
  clock_.Set(-5 * kHour);
  Open();
  std::vector<std::pair<int64_t, double>> samples;
  for (int64_t t = -9 * kHour; t <= -5 * kHour; t += 15'000) {
    samples.emplace_back(t, static_cast<double>(t));
  }
  EXPECT_EQ(Add(kUp, samples).samples_stored,
            static_cast<int64_t>(samples.size()));
  Kill();
  const auto content = ReadContent(db_->source(), -100 * kHour, 0);
  ASSERT_EQ(content.size(), 1u);
  EXPECT_EQ(content.begin()->second.size(), samples.size());
}

TEST_F(DbTest, RefusesForeignAndTakenDirectories) {
  EXPECT_EQ(Db::Open(Options()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(fs_->CreateDir("/prometheus/chunks_head").ok());
  DbOptions options = Options();
  options.directory = "/prometheus";
  const absl::Status status = Db::Open(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(status.message()).find("--storage.tsdb.path"),
            std::string::npos);
  EXPECT_EQ(fs_->List("/prometheus")->size(), 1u);
  ASSERT_TRUE(fs_->CreateDir("/home/photos").ok());
  options.directory = "/home";
  EXPECT_EQ(Db::Open(options).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(DbTest, AFullDiskRefusesWritesAndThenGoesOn) {
  db_.reset();
  FaultFileSystem faults(fs_.get());
  DbOptions options = Options();
  options.fs = &faults;
  auto db = Db::Open(options);
  ASSERT_TRUE(db.ok()) << db.status();
  db_ = std::move(*db);
  Add(kUp, {{kNow, 1}});
  faults.SetFreeBytes(7);
  {
    auto appender = db_->BeginAppend();
    const Labels other{{"__name__", "other"}};
    const auto ref = appender->Resolve(other);
    ASSERT_TRUE(ref.ok());
    appender->batch().Add(*ref, kNow, 2);
    const auto result = appender->Commit();
    EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted)
        << result.status();
  }
  EXPECT_EQ(Content().size(), 1u);
  faults.SetFreeBytes(std::nullopt);
  Add({{"__name__", "other"}}, {{kNow + 1, 3}});
  const auto expected = Content();
  EXPECT_EQ(expected.size(), 2u);
  Kill();
  EXPECT_EQ(Content(), expected);
  EXPECT_EQ(db_->Stats().wal_corruptions, 0);
}

TEST_F(DbTest, SealsWindowsAndCutsTheLog) {
  const int64_t window = Options().window_ms;
  const int64_t begin = kNow - kNow % window;
  std::vector<std::pair<int64_t, double>> samples;
  for (int64_t t = begin; t < begin + 4 * window; t += 60'000) {
    samples.emplace_back(t, static_cast<double>(t % 977));
  }
  clock_.Set(samples.back().first);
  Add(kUp, samples);
  const SourceContent expected = Content();
  ASSERT_TRUE(*db_->Maintain());
  EXPECT_FALSE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().blocks, 3);
  EXPECT_EQ(db_->Stats().head_min_ms, begin + 3 * window);
  EXPECT_EQ(Content(), expected);
  Kill();
  EXPECT_EQ(Content(), expected);
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(db_->Stats().blocks, 4);
  EXPECT_EQ(db_->Stats().wal_segments, 0);
  EXPECT_EQ(Content(), expected);
  Kill();
  EXPECT_EQ(Content(), expected);
}

TEST_F(DbTest, SamplesAfterAFlushSurviveAnEarlierCutoff) {
  const int64_t window = Options().window_ms;
  const int64_t begin = kNow - kNow % window;
  clock_.Set(begin + 2 * window);
  Add(kUp, {{begin, 1}, {begin + 2 * window, 2}});
  ASSERT_TRUE(db_->Flush().ok());
  Add(kUp, {{begin + 60'000, 3}, {begin + 2 * window + 60'000, 4}});
  const SourceContent expected = Content();
  EXPECT_EQ(expected.begin()->second.size(), 4u);
  ASSERT_TRUE(*db_->Maintain());  // the first window only
  Kill();
  EXPECT_EQ(Content(), expected);
}

TEST_F(DbTest, IdleSeriesLeaveTheHead) {
  const int64_t window = Options().window_ms;
  const int64_t begin = kNow - kNow % window;
  clock_.Set(begin + 3 * window);
  for (int i = 0; i < 500; ++i) {
    Add({{"__name__", "gone"}, {"i", std::to_string(i)}}, {{begin, 1}});
  }
  Add(kUp, {{begin, 1}, {begin + 3 * window, 1}});
  const uint64_t epoch = db_->series_epoch();
  const SourceContent expected = Content();
  ASSERT_TRUE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().head_series, 1);
  EXPECT_EQ(db_->Stats().head_series_removed, 500);
  EXPECT_GT(db_->series_epoch(), epoch);
  EXPECT_EQ(Content(), expected);
  QueryContext context;
  SelectHints hints;
  hints.start_ms = begin + 3 * window;
  hints.end_ms = begin + 4 * window;
  EXPECT_EQ(*db_->source().LabelNames(context, {}, hints),
            (std::vector<std::string>{"__name__", "job"}));
  // They may come back, under refs that are given out again.
  for (int i = 0; i < 500; ++i) {
    Add({{"__name__", "gone"}, {"i", std::to_string(i + 100)}},
        {{begin + 3 * window, 2}});
  }
  const SourceContent more = Content();
  EXPECT_EQ(more.size(), 601u);
  Kill();
  EXPECT_EQ(Content(), more);
}

TEST_F(DbTest, AnOpenAppenderPutsOffTheCollection) {
  const int64_t window = Options().window_ms;
  const int64_t begin = kNow - kNow % window;
  clock_.Set(begin + 3 * window);
  Add(kUp, {{begin, 1}});
  Add({{"__name__", "now"}}, {{begin + 3 * window, 1}});
  auto appender = db_->BeginAppend();
  const SeriesRef ref = *appender->Resolve(kUp);
  ASSERT_TRUE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().head_series, 2);
  appender->batch().Add(ref, begin + 3 * window, 5);
  ASSERT_TRUE(appender->Commit().ok());
  EXPECT_EQ(Content()[kUp.ToString()][begin + 3 * window], PrintFloat(5));
}

TEST_F(DbTest, MetadataAndExemplarsSurviveTheCutOfTheLog) {
  auto appender = db_->BeginAppend();
  const SeriesRef ref = *appender->Resolve(kUp);
  appender->batch().Add(ref, kNow, 1);
  appender->batch().exemplars.push_back({ref, {Labels{{"t", "x"}}, 1, kNow}});
  appender->batch().metadata.push_back({"up", {"gauge", "", "h"}});
  ASSERT_TRUE(appender->Commit().ok());
  appender.reset();
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(db_->Stats().wal_segments, 0);
  Kill();
  EXPECT_EQ(db_->FamilyMetadata().size(), 1u);
  EXPECT_EQ(db_->Stats().exemplars, 1);
}

TEST_F(DbTest, DropsDaysBeyondTheRetention) {
  const int64_t day = 24 * kHour;
  Add(kUp, {{kNow - 44 * day, 1}, {kNow, 2}});
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(db_->Stats().blocks, 2);
  clock_.Advance(3 * day);
  EXPECT_EQ(Content()[kUp.ToString()].size(), 1u);  // not served any more
  ASSERT_TRUE(db_->Maintain().ok());
  EXPECT_EQ(db_->Stats().blocks, 1);
}

TEST_F(DbTest, MergesADayOnceItIsOver) {
  const int64_t day = 24 * kHour;
  const int64_t begin = kNow - kNow % day - day;
  for (int64_t t = begin; t < begin + day; t += 10 * 60'000) {
    Add(kUp, {{t, static_cast<double>(t % 977)}});
  }
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_GT(db_->Stats().blocks, 10);
  const SourceContent expected = Content();
  clock_.Set(begin + day + kHour);
  while (*db_->Maintain()) continue;
  EXPECT_GT(db_->Stats().blocks, 10);
  clock_.Set(begin + day + 4 * kHour);
  EXPECT_TRUE(*db_->Maintain());
  EXPECT_EQ(db_->Stats().blocks, 1);
  EXPECT_EQ(db_->Stats().compactions, 1);
  EXPECT_GT(db_->Stats().compaction_bytes_read,
            db_->Stats().compaction_bytes_written);
  EXPECT_EQ(db_->Stats().compaction_bytes_written, db_->Stats().block_bytes);
  EXPECT_EQ(Content(), expected);
  EXPECT_FALSE(*db_->Maintain());
  Kill();
  EXPECT_EQ(db_->Stats().blocks, 1);
  EXPECT_EQ(Content(), expected);
  // One late sample is not worth another merge.
  Add(kUp, {{begin + 1, 5}});
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(db_->Stats().blocks, 2);
}

TEST_F(DbTest, ASealThatFailsLosesNothingAndIsTriedAgain) {
  db_.reset();
  FaultFileSystem faults(fs_.get());
  DbOptions options = Options();
  options.fs = &faults;
  auto db = Db::Open(options);
  ASSERT_TRUE(db.ok()) << db.status();
  db_ = std::move(*db);
  Add(kUp, {{kNow, 1}, {kNow + 60'000, 2}});
  const SourceContent expected = Content();
  faults.SetFreeBytes(100);
  EXPECT_FALSE(db_->Flush().ok());
  EXPECT_EQ(db_->Stats().seal_failures, 1);
  EXPECT_EQ(Content(), expected);
  faults.SetFreeBytes(std::nullopt);
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(Content(), expected);
  EXPECT_EQ(db_->Stats().blocks, 1);
  Kill();
  EXPECT_EQ(Content(), expected);
}

}  // namespace
}  // namespace varve
