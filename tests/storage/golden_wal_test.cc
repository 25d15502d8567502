// Logs and checkpoints as every version so far wrote them, in tests/golden:
// what is on somebody's disk must stay readable.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "storage/coding.h"
#include "storage/crc32c.h"
#include "storage/db.h"
#include "storage/wal_format.h"
#include "storage/wal_record.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kNow = int64_t{470'000} * 3'600'000;

std::string GoldenPath(std::string_view name) {
  return fmt::format("{}/tests/golden/{}", VARVE_SOURCE_DIR, name);
}

std::string ReadGolden(std::string_view name) {
  auto bytes = ReadFile(FileSystem::Posix(), GoldenPath(name), 1 << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *std::move(bytes) : "";
}

void UpdateGolden(std::string_view name, const std::string& bytes) {
  if (std::getenv("VARVE_UPDATE_GOLDEN") == nullptr) return;
  ASSERT_TRUE(
      WriteFileAtomically(FileSystem::Posix(), GoldenPath(name), bytes).ok());
}

class GoldenWal : public testing::Test {
 protected:
  GoldenWal() {
    options_.directory = "/db";
    options_.fs = &fs_;
    options_.clock = &clock_;
    options_.background = false;
    Open();
  }

  void Open() {
    db_.reset();
    auto db = Db::Open(options_);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = std::move(*db);
  }

  static Labels SeriesLabels(int i) {
    return Labels{{"__name__", i % 2 == 0 ? "up" : "requests_total"},
                  {"job", fmt::format("job-{}", i)}};
  }

  /// The same in every version: two windows, closed and open chunks, every kind
  /// of sample.
  void WriteFixed() {
    for (int k = 0; k < 200; ++k) {
      auto appender = db_->BeginAppend();
      for (int i = 0; i < (k < 150 ? 4 : 3); ++i) {
        const auto ref = appender->Resolve(SeriesLabels(i));
        ASSERT_TRUE(ref.ok());
        appender->batch().Add(*ref, kNow - (200 - k) * 30'000 + i,
                              i == 0 ? 1 : k * 1.25 * i);
      }
      ASSERT_TRUE(appender->Commit().ok());
    }
    auto appender = db_->BeginAppend();
    WriteBatch& batch = appender->batch();
    const SeriesRef up = *appender->Resolve(SeriesLabels(0));
    const SeriesRef h = *appender->Resolve(Labels{{"__name__", "h"}});
    batch.Add(up, kNow - 100'001, -0.0);
    batch.Add(up, kNow + 1000, 3);
    batch.start_timestamps = {kNow - 200'000, kNoStartTimestamp};
    FloatHistogram floats;
    floats.count = 2.5;
    floats.sum = -1;
    floats.positive_spans = {{-2, 1}, {3, 1}};
    floats.positive_buckets = {1, 1.5};
    batch.histograms.push_back(
        {h, kNow, kNow - 7, std::make_shared<const Histogram>(floats)});
    Exemplar exemplar;
    exemplar.labels = Labels{{"trace_id", "abc"}};
    exemplar.value = 0.5;
    exemplar.timestamp_ms = kNow;
    batch.exemplars.push_back({up, exemplar});
    batch.metadata.push_back({"up", {"gauge", "", "Whether it answers."}});
    ASSERT_TRUE(appender->Commit().ok());
  }

  std::string Bytes(const std::string& name) {
    return *ReadFile(&fs_, "/db/wal/" + name, 1 << 30);
  }

  /// What a Db with these files in its log holds.
  void ExpectHolds(const std::map<std::string, std::string>& files,
                   const SourceContent& content) {
    MemoryFileSystem fs;
    DbOptions options = options_;
    options.fs = &fs;
    ASSERT_TRUE(Db::Open(options).ok());  // makes the directory
    for (const auto& [name, bytes] : files) {
      auto file = fs.OpenWritable("/db/wal/" + name,
                                  FileSystem::WriteMode::kCreateOrTruncate);
      ASSERT_TRUE(file.ok() && (*file)->Append(bytes).ok());
    }
    const auto db = Db::Open(options);
    ASSERT_TRUE(db.ok()) << db.status();
    EXPECT_EQ((*db)->Stats().wal_corruptions, 0);
    EXPECT_EQ(ReadContent((*db)->source()), content);
    EXPECT_EQ((*db)->Stats().exemplars, 1);
    EXPECT_EQ((*db)->FamilyMetadata().size(), 1u);
  }

  ManualClock clock_{kNow};
  MemoryFileSystem fs_;
  DbOptions options_;
  std::unique_ptr<Db> db_;
};

// The bytes may change only together with their spec: then set
// VARVE_UPDATE_GOLDEN and keep the old file under another name, as readable.
TEST_F(GoldenWal, TheLogsBytesStayTheSame) {
  WriteFixed();
  const SourceContent content = ReadContent(db_->source());
  UpdateGolden("wal_v1.bin", Bytes("00000001"));
  EXPECT_TRUE(Bytes("00000001") == ReadGolden("wal_v1.bin"));
  ExpectHolds({{"00000001", ReadGolden("wal_v1.bin")}}, content);
}

TEST_F(GoldenWal, TheCheckpointsBytesStayTheSame) {
  WriteFixed();
  const SourceContent content = ReadContent(db_->source());
  db_.reset();
  const std::string bytes = Bytes("checkpoint-00000002");
  UpdateGolden("checkpoint_v1.bin", bytes);
  EXPECT_TRUE(bytes == ReadGolden("checkpoint_v1.bin"));
  ExpectHolds({{"checkpoint-00000002", ReadGolden("checkpoint_v1.bin")}},
              content);
}

TEST_F(GoldenWal, TheNotesBytesStayTheSame) {
  const std::string bytes = wal_format::NewestFile(0x123456789);
  UpdateGolden("newest_v1.bin", bytes);
  EXPECT_TRUE(bytes == ReadGolden("newest_v1.bin"));
  const auto newest = wal_format::ReadNewest(ReadGolden("newest_v1.bin"));
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->version, 1u);
  EXPECT_EQ(newest->segment, 0x123456789u);
  std::string newer = bytes;
  newer[8] = 2;
  const uint32_t crc = Crc32c(std::string_view(newer).substr(0, 20));
  StoreFixed(newer.data() + 20, crc);
  db_.reset();
  ASSERT_TRUE(WriteFileAtomically(&fs_, "/db/wal/NEWEST", newer).ok());
  const auto db = Db::Open(options_);
  EXPECT_TRUE(absl::IsFailedPrecondition(db.status())) << db.status();
}

/// What stood in the place of checkpoints before there were any: the series of
/// deleted segments, metadata and exemplars.
TEST_F(GoldenWal, SeriesFilesStayReadable) {
  std::string file;
  wal_format::PutSegmentHeader(&file, 5);
  const auto add = [&](WalRecordType type, const std::string& payload) {
    wal_format::PutRecordHeader(&file, 5, file.size(), type, payload);
    file += payload;
  };
  std::string payload;
  EncodeSeries(3, SeriesLabels(0), &payload);
  EncodeSeries(9, SeriesLabels(1), &payload);
  add(WalRecordType::kSeries, payload);
  WriteBatch state;
  state.metadata.push_back({"up", {"gauge", "", "Whether it answers."}});
  Exemplar exemplar;
  exemplar.value = 0.5;
  exemplar.timestamp_ms = kNow;
  state.exemplars.push_back({3, exemplar});
  EncodeCommit(state, &payload);
  add(WalRecordType::kState, payload);
  UpdateGolden("series_v1.bin", file);
  EXPECT_TRUE(file == ReadGolden("series_v1.bin"));

  std::string segment;
  wal_format::PutSegmentHeader(&segment, 5);
  WriteBatch batch;
  batch.Add(3, kNow, 1);
  batch.Add(9, kNow, 2);
  EncodeCommit(batch, &payload);
  wal_format::PutRecordHeader(&segment, 5, segment.size(),
                              WalRecordType::kCommit, payload);
  SourceContent content;
  content[SeriesLabels(0).ToString()][kNow] = PrintFloat(1);
  content[SeriesLabels(1).ToString()][kNow] = PrintFloat(2);
  ExpectHolds({{"series-00000005", ReadGolden("series_v1.bin")},
               {"00000005", segment + payload}},
              content);
}

}  // namespace
}  // namespace varve
