// Checkpoints of a whole Db: what a restart finds, with and without damage.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "storage/checkpoint_record.h"
#include "storage/crc32c.h"
#include "storage/db.h"
#include "storage/wal.h"
#include "storage/wal_format.h"
#include "storage/wal_record.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kNow = int64_t{470'000} * 60 * kMinute;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    options_.directory = "/db";
    options_.fs = &fault_;
    options_.clock = &clock_;
    options_.background = false;
    options_.checkpoint_bytes = uint64_t{1} << 40;
    Open();
  }

  void Open() {
    db_.reset();
    auto db = Db::Open(options_);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = std::move(*db);
  }

  /// Lets the next Maintain() write one.
  void Checkpoint() {
    options_.checkpoint_bytes = 1;
    options_.checkpoint_on_close = true;
    Open();
    options_.checkpoint_bytes = uint64_t{1} << 40;
  }

  static Labels SeriesLabels(int i) {
    return Labels{{"__name__", "m" + std::to_string(i % 7)},
                  {"i", std::to_string(i)}};
  }

  void Write(int series, int64_t t, double v) {
    auto appender = db_->BeginAppend();
    for (int i = 0; i < series; ++i) {
      const auto ref = appender->Resolve(SeriesLabels(i));
      ASSERT_TRUE(ref.ok()) << ref.status();
      appender->batch().Add(*ref, t, v + i);
    }
    ASSERT_TRUE(appender->Commit().ok());
  }

  SourceContent Content() { return ReadContent(db_->source()); }

  /// The newest checkpoint's path.
  std::string CheckpointPath() {
    std::string newest;
    const auto files = fs_.List("/db/wal");
    for (const FileInfo& file : *files) {
      if (file.name.starts_with("checkpoint-")) {
        newest = std::max(newest, "/db/wal/" + file.name);
      }
    }
    return newest;
  }

  ManualClock clock_{kNow};
  MemoryFileSystem fs_;
  FaultFileSystem fault_{&fs_};
  DbOptions options_;
  std::unique_ptr<Db> db_;
};

TEST_F(CheckpointTest, HoldsEverythingTheHeadHolds) {
  // Closed and open chunks over two windows, series that stopped.
  for (int i = 0; i < 400; ++i) {
    Write(i < 200 ? 9 : 5, kNow - 150 * kMinute + i * 20'000, i % 3);
  }
  auto appender = db_->BeginAppend();
  WriteBatch& batch = appender->batch();
  const SeriesRef a = *appender->Resolve(SeriesLabels(0));
  const SeriesRef h = *appender->Resolve(Labels{{"__name__", "h"}});
  batch.Add(a, kNow - 140 * kMinute + 1, 0.5);  // out of order
  batch.Add(a, kNow, 9);
  batch.start_timestamps = {kNow - 150 * kMinute, kNow - 5};
  FloatHistogram histogram;
  histogram.count = 3;
  histogram.sum = 1.5;
  histogram.positive_spans = {{1, 1}};
  histogram.positive_buckets = {3};
  batch.histograms.push_back(
      {h, kNow, kNow - 7, std::make_shared<const Histogram>(histogram)});
  Exemplar exemplar;
  exemplar.labels = Labels{{"trace", "1"}};
  exemplar.value = 2;
  exemplar.timestamp_ms = kNow;
  batch.exemplars.push_back({a, exemplar});
  batch.metadata.push_back({"m0", {"counter", "", "help"}});
  ASSERT_TRUE(appender->Commit().ok());
  appender.reset();

  const SourceContent before = Content();
  for (int restart = 0; restart < 3; ++restart) {
    SCOPED_TRACE(restart);
    Open();
    EXPECT_EQ(Content(), before);
    const DbStats stats = db_->Stats();
    EXPECT_EQ(stats.wal_corruptions, 0);
    // The checkpoint alone was read, and no new one was written.
    EXPECT_LT(stats.replay_records, 8);
    EXPECT_EQ(stats.wal_segments, 0);
    EXPECT_EQ(db_->FamilyMetadata().size(), 1u);
    const std::vector<Matcher> all = {
        *Matcher::Create(MatchType::kRegex, "__name__", ".+")};
    const auto exemplars =
        db_->Exemplars(std::span(&all, 1), kNow - kMinute, kNow + kMinute);
    ASSERT_TRUE(exemplars.ok());
    EXPECT_EQ(exemplars->size(), 1u);
  }
  // The open chunks go on, and what is repeated is known.
  auto again = db_->BeginAppend();
  const SeriesRef ref = *again->Resolve(SeriesLabels(0));
  again->batch().Add(ref, kNow, 9);
  again->batch().Add(ref, kNow - 150 * kMinute, 1234);
  const auto result = again->Commit();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->samples_stored, 1);
  EXPECT_EQ(result->rejected_total(), 1);
  again.reset();
  EXPECT_EQ(Content(), before);
  Write(9, kNow + 20'000, 1);
  const SourceContent longer = Content();
  Open();
  EXPECT_EQ(Content(), longer);
  ASSERT_TRUE(db_->Flush().ok());
  EXPECT_EQ(Content(), longer);
  Open();
  EXPECT_EQ(Content(), longer);
}

TEST_F(CheckpointTest, AStartTellsHowFarItIs) {
  Write(10, kNow, 1);
  options_.checkpoint_on_close = false;
  Open();  // the Db before has written checkpoint 2
  Write(10, kNow + 1000, 1);
  Open();
  Write(10, kNow + 2000, 1);
  options_.progress = std::make_shared<ReplayProgress>();
  int64_t half_way = 0;
  fault_.SetHook([&](FaultFileSystem::Op op, const std::string& path) {
    if (op == FaultFileSystem::kOpenRead && path.ends_with("/00000003")) {
      half_way = options_.progress->bytes;
      EXPECT_EQ(options_.progress->segment, 3u);
    }
    return absl::OkStatus();
  });
  Open();
  fault_.SetHook(nullptr);
  const ReplayProgress& p = *options_.progress;
  EXPECT_EQ(p.segment_min, 2u);
  EXPECT_EQ(p.segment_max, 3u);
  EXPECT_EQ(p.segment, 3u);
  EXPECT_GT(half_way, 0);
  EXPECT_LT(half_way, p.bytes_total);
  EXPECT_EQ(p.bytes, p.bytes_total);
  EXPECT_EQ(Content().begin()->second.size(), 3u);
}

TEST_F(CheckpointTest, IsWrittenWhenTheLogHasGrown) {
  options_.checkpoint_bytes = 20'000;
  options_.checkpoint_on_close = false;
  Open();
  int64_t t = kNow;
  uint64_t largest = 0;
  for (int i = 0; i < 300; ++i) {
    Write(20, t += 15'000, i * 0.37);
    clock_.Advance(15'000);
    ASSERT_TRUE(db_->Maintain().ok());
    largest = std::max(largest, static_cast<uint64_t>(db_->Stats().wal_bytes));
  }
  const DbStats stats = db_->Stats();
  EXPECT_GT(stats.checkpoints, 1);
  EXPECT_GT(stats.checkpoint_bytes, 0);
  EXPECT_EQ(stats.checkpoint_failures, 0);
  // So much is read again, however long the traffic has been.
  EXPECT_LT(largest, 60'000u);
  const SourceContent before = Content();
  Open();
  EXPECT_EQ(Content(), before);
}

TEST_F(CheckpointTest, ADamagedRecordCostsItsSeries) {
  constexpr int kSeries = 5000;  // three records
  Write(kSeries, kNow - kMinute, 1);
  Open();
  Write(kSeries, kNow, 2);
  options_.checkpoint_on_close = false;
  const SourceContent all = Content();
  db_.reset();
  const std::string path = CheckpointPath();
  std::string bytes = *ReadFile(&fs_, path, 1 << 30);
  bytes[bytes.size() / 2] ^= 1;
  auto file = fs_.OpenWritable(path, FileSystem::WriteMode::kCreateOrTruncate);
  ASSERT_TRUE((*file)->Append(bytes).ok());
  Open();
  EXPECT_EQ(db_->Stats().wal_corruptions, 1);
  const SourceContent found = Content();
  EXPECT_LT(found.size(), all.size());
  EXPECT_GT(found.size(), size_t{kSeries / 2});
  for (const auto& [series, samples] : found) {
    EXPECT_EQ(samples, all.at(series)) << series;
  }
  // The others can be written again, under refs that nothing else has.
  Write(kSeries, kNow + kMinute, 3);
  EXPECT_EQ(Content().size(), size_t{kSeries});
}

TEST_F(CheckpointTest, RefsMayBeFewAndFarBetween) {
  db_.reset();
  // As of a head most of whose series have gone, and as of a damaged one.
  const std::vector<SeriesRef> refs = {
      0, 5, 4095, 30'000, 9'000'000, (SeriesRef{1} << 28) - 1};
  std::map<uint32_t, std::string> texts;
  std::string file;
  std::string segment;
  wal_format::PutCheckpointHeader(&file, 7);
  wal_format::PutSegmentHeader(&segment, 7);
  CheckpointEncoder encoder([&](uint32_t pair) {
    return pair == 0 ? LabelView{"__name__", "m"}
                     : LabelView{"r", texts[pair] = std::to_string(pair)};
  });
  WriteBatch batch;
  SourceContent expected;
  for (const SeriesRef ref : refs) {
    const uint32_t pairs[] = {0, ref + 1};
    CheckpointSeries series;
    series.ref = ref;
    series.labels = pairs;
    encoder.Add(series);
    batch.Add(ref, kNow - 10 * kMinute, ref);
    expected[fmt::format("m{{r=\"{}\"}}", ref + 1)][kNow - 10 * kMinute] =
        PrintFloat(ref);
  }
  std::string payload;
  const auto add = [&](WalRecordType type, std::string* to) {
    wal_format::PutRecordHeader(to, 7, to->size(), type, payload);
    *to += payload;
  };
  encoder.Finish(&payload);
  add(WalRecordType::kHeadSeries, &file);
  payload = std::string(1, 1);
  add(WalRecordType::kEnd, &file);
  EncodeCommit(batch, &payload);
  add(WalRecordType::kCommit, &segment);
  ASSERT_TRUE(RemoveRecursively(&fs_, "/db/wal").ok());
  ASSERT_TRUE(fs_.CreateDir("/db/wal").ok());
  ASSERT_TRUE(
      WriteFileAtomically(&fs_, "/db/wal/checkpoint-00000007", file).ok());
  ASSERT_TRUE(WriteFileAtomically(&fs_, "/db/wal/00000007", segment).ok());

  Open();
  EXPECT_EQ(db_->Stats().wal_corruptions, 0);
  EXPECT_EQ(Content(), expected);
  for (int round = 0; round < 3; ++round) {
    // New series take refs in between, a seal and a checkpoint walk over them.
    Write(100, kNow - kMinute * (4 - round), round);
    ASSERT_TRUE(db_->Flush().ok());
    clock_.Advance(4 * 60 * kMinute);
    ASSERT_TRUE(db_->Maintain().ok());
    clock_.Advance(-4 * 60 * kMinute);
    const SourceContent content = Content();
    EXPECT_EQ(content.size(), refs.size() + 100);
    Checkpoint();
    EXPECT_EQ(Content(), content);
    for (const auto& [name, samples] : expected) {
      EXPECT_EQ(content.at(name), samples);
    }
  }
}

TEST_F(CheckpointTest, ANewerFormatIsRefused) {
  Write(3, kNow, 1);
  db_.reset();
  const std::string path = CheckpointPath();
  std::string bytes = *ReadFile(&fs_, path, 1 << 30);
  bytes.replace(0, 24, [&] {
    std::string header = "VARVECKP";
    header.push_back(2);
    header.append(3, '\0');
    header += bytes.substr(12, 8);
    const uint32_t crc = Crc32c(header);
    header.append(reinterpret_cast<const char*>(&crc), 4);
    return header;
  }());
  auto file = fs_.OpenWritable(path, FileSystem::WriteMode::kCreateOrTruncate);
  ASSERT_TRUE((*file)->Append(bytes).ok());
  const auto db = Db::Open(options_);
  EXPECT_EQ(db.status().code(), absl::StatusCode::kFailedPrecondition)
      << db.status();
}

TEST_F(CheckpointTest, EveryFailingCallLeavesTheLog) {
  Write(50, kNow - kMinute, 1);
  Checkpoint();
  const SourceContent first = Content();
  for (int64_t n = 1; n < 40; ++n) {
    SCOPED_TRACE(n);
    for (int i = 0; i < 60; ++i) {
      Write(50, kNow + (n * 60 + i) * 1000, 1.5);
    }
    clock_.Advance(kMinute);  // past the pause after a failure
    const SourceContent before = Content();
    fault_.FailCall(n, absl::ResourceExhaustedError("no space left"),
                    FaultFileSystem::kWrites);
    const auto done = db_->Maintain();
    fault_.Heal();
    EXPECT_EQ(Content(), before);
    // Killed now, nothing is missing.
    const auto image = fs_.KillImage();
    DbOptions options = options_;
    options.fs = image.get();
    options.checkpoint_on_close = false;
    auto other = Db::Open(options);
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(ReadContent((*other)->source()), before);
    EXPECT_EQ((*other)->Stats().wal_corruptions, 0);
    if (done.ok() && n > 20) break;
  }
  EXPECT_GT(db_->Stats().checkpoint_failures, 5);
  EXPECT_GT(db_->Stats().checkpoints, 0);
}

TEST_F(CheckpointTest, CutsBigHistogramsIntoRecordsOfAUsefulSize) {
  FloatHistogram histogram;
  histogram.positive_spans = {{0, 4000}};
  histogram.positive_buckets.assign(4000, 0.3);
  histogram.count = 4000 * 0.3;
  auto appender = db_->BeginAppend();
  const SeriesRef ref = *appender->Resolve(Labels{{"__name__", "h"}});
  const auto shared = std::make_shared<const Histogram>(histogram);
  for (int i = 0; i < 200; ++i) {
    appender->batch().histograms.push_back({ref, kNow + i, kNow, shared});
  }
  ASSERT_TRUE(appender->Commit().ok());
  appender.reset();
  const SourceContent before = Content();
  Checkpoint();
  EXPECT_EQ(Content(), before);
  db_.reset();
  size_t longest = 0;
  size_t total = 0;
  WalReadReport report;
  WalOptions wal;
  wal.directory = "/db/wal";
  wal.fs = &fs_;
  ASSERT_TRUE(ReadWal(wal, &report,
                      [&](uint64_t, WalRecordType, std::string_view payload) {
                        longest = std::max(longest, payload.size());
                        total += payload.size();
                        return absl::OkStatus();
                      })
                  .ok());
  EXPECT_GT(report.checkpoint, 0u);
  EXPECT_GT(total, size_t{6} << 20);
  EXPECT_LT(longest, size_t{2} << 20);
}

TEST_F(CheckpointTest, WritersGoOnMeanwhile) {
  constexpr int kWriters = 3;
  constexpr int kCommits = 120;
  options_.checkpoint_bytes = 1;
  options_.checkpoint_on_close = false;
  Open();
  std::atomic<int> writing{kWriters};
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      for (int c = 0; c < kCommits; ++c) {
        auto appender = db_->BeginAppend();
        for (int i = 0; i < 60; ++i) {
          // New series appear all the time.
          const auto ref =
              appender->Resolve(Labels{{"__name__", "m"},
                                       {"w", std::to_string(w)},
                                       {"i", std::to_string(i + c / 2)}});
          ASSERT_TRUE(ref.ok());
          appender->batch().Add(*ref, kNow + c * 1000 - (i == 3 ? 9500 : 0), c);
        }
        ASSERT_TRUE(appender->Commit().ok());
      }
      --writing;
    });
  }
  while (writing > 0) ASSERT_TRUE(db_->Maintain().ok());
  for (auto& thread : threads) thread.join();
  // They may have been done before the first one was due.
  ASSERT_TRUE(db_->Maintain().ok());
  EXPECT_GE(db_->Stats().checkpoints, 1);
  const SourceContent before = Content();
  db_.reset();
  Open();
  EXPECT_EQ(Content(), before);
  EXPECT_EQ(db_->Stats().wal_corruptions, 0);
}

}  // namespace
}  // namespace varve
