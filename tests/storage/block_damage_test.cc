// Blocks and indexes whose bytes were changed, and golden bytes.

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "storage/block.h"
#include "storage/block_source.h"
#include "storage/coding.h"
#include "storage/crc32c.h"
#include "storage/status_macros.h"
#include "tests/support/block_data.h"
#include "tests/support/lone_block.h"
#include "tests/support/map_index_rows.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr const char* kPath = "/blocks/d0-p0.block";

/// A bit of everything a block can hold; always the same.
MapSource FixedData() {
  MapSource data;
  IntHistogram h;
  h.schema = 3;
  h.zero_threshold = 1e-9;
  h.positive_spans = {{-2, 2}, {3, 1}};
  h.positive_buckets = {1, 2, 3};
  h.negative_spans = {{0, 1}};
  h.negative_buckets = {9};
  FloatHistogram f;
  f.schema = kCustomBucketsSchema;
  f.custom_values = {0.1, 1};
  f.positive_spans = {{0, 2}};
  f.positive_buckets = {0.5, 2.25};
  f.reset_hint = ResetHint::kGauge;
  for (int i = 0; i < 20; ++i) {
    const int64_t t = -40000 + i * 15000;
    data.Add(Labels{{"__name__", "up"}, {"job", "a"}}, t, 1);
    data.Add(Labels{{"__name__", "up"}, {"job", "b"}}, t + i * i % 7, i * 0.1);
    data.Add(Labels{{"__name__", "x"}, {"job", "b"}}, t, i, t - 5);
    data.Add(Labels{{"job", "c"}, {"z", "\xc3\xbc"}}, t,
             i % 3 == 0 ? StaleNan() : i * 1e300);
    for (uint64_t& bucket : h.positive_buckets) bucket += i;
    h.count += 5;
    h.sum += 0.5;
    data.Add(Labels{{"__name__", "h"}}, t, h);
    f.count += 1.5;
    f.positive_buckets[1] += 0.25;
    data.Add(Labels{{"__name__", "h"}, {"kind", "f"}}, t, f);
  }
  return data;
}

/// Counters that stand apart and move together, and one that goes its own way
/// at the end.
MapSource SharedData() {
  MapSource data;
  for (int i = 0; i < 40; ++i) {
    const int64_t t = -40000 + i * 15000;
    const double v = 1000 + i * i * i % 977;
    for (const char* le : {"+Inf", "1", "10"}) {
      data.Add(Labels{{"__name__", "h_bucket"}, {"le", le}}, t, v);
    }
    data.Add(Labels{{"__name__", "h_count"}}, t + 3, v);
    data.Add(Labels{{"__name__", "other"}}, t, i == 39 ? 0 : v);
  }
  return data;
}

struct Made {
  std::string block;
  IndexRowList rows;
};

Made Make(const MapSource& data) {
  MemoryFileSystem fs;
  EXPECT_TRUE(fs.CreateDir("/blocks").ok());
  Made made;
  made.rows = WriteLoneBlock(&fs, kPath, data, {-50000, 3600000}, 120);
  made.block = *ReadFile(&fs, kPath, 1 << 20);
  return made;
}

/// What is read of a block, and the warnings; the error if it does not open.
struct Outcome {
  absl::Status open;
  SourceContent content;
  std::vector<std::string> warnings;
};

Outcome ReadBlock(const std::string& block_bytes,
                  std::shared_ptr<const IndexRows> rows) {
  Outcome out;
  MemoryFileSystem fs;
  EXPECT_TRUE(fs.CreateDir("/blocks").ok());
  EXPECT_TRUE(WriteFileAtomically(&fs, kPath, block_bytes).ok());
  auto block = Block::Open(&fs, kPath);
  if (!block.ok()) {
    out.open = block.status();
    return out;
  }
  auto index = IndexReader::Open(std::move(rows), (*block)->info().series);
  if (!index.ok()) {
    out.open = index.status();
    return out;
  }
  const auto source = MakeBlockSource(*block, *index);
  QueryContext context;
  SelectHints hints;
  hints.start_ms = std::numeric_limits<int64_t>::min();
  hints.end_ms = std::numeric_limits<int64_t>::max();
  auto set = source->Select(context, {}, hints);
  EXPECT_TRUE(set.ok()) << set.status();
  SampleColumns columns;
  while (*(*set)->Next()) {
    auto& samples = out.content[(*set)->labels().ToString()];
    auto cursor = (*set)->Cursor();
    while (*cursor->Next(&columns)) {
      for (size_t i = 0; i < columns.size(); ++i) {
        const int64_t start =
            columns.start_timestamps.empty() ? 0 : columns.start_timestamps[i];
        samples[columns.timestamps[i]] =
            columns.kind == SampleColumns::Kind::kFloat
                ? PrintFloat(columns.values[i], start)
                : PrintHistogram(*columns.histograms[i], start);
      }
    }
  }
  out.warnings = context.warnings();
  return out;
}

/// Nothing in `got` that is not in `want`.
void ExpectPart(const SourceContent& got, const SourceContent& want) {
  for (const auto& [labels, samples] : got) {
    const auto it = want.find(labels);
    ASSERT_NE(it, want.end()) << labels;
    for (const auto& [t, value] : samples) {
      const auto sample = it->second.find(t);
      ASSERT_NE(sample, it->second.end()) << labels << " at " << t;
      ASSERT_EQ(sample->second, value) << labels << " at " << t;
    }
  }
}

void ExpectEveryChangedByteIsNoticed(const MapSource& data) {
  const SourceContent want = ReadContent(data);
  const Made made = Make(data);
  const auto rows = std::make_shared<MapIndexRows>(made.rows);
  EXPECT_EQ(ReadBlock(made.block, rows).content, want);
  for (size_t i = 0; i < made.block.size(); ++i) {
    for (const int mask : {0x01, 0x80, 0xff}) {
      SCOPED_TRACE(fmt::format("byte {} ^ {:#x}", i, mask));
      std::string bytes = made.block;
      bytes[i] = static_cast<char>(bytes[i] ^ mask);
      const Outcome got = ReadBlock(bytes, rows);
      if (got.open.ok()) {
        ExpectPart(got.content, want);
        ASSERT_FALSE(got.warnings.empty()) << "served without a word";
        EXPECT_NE(got.warnings[0].find(kPath), std::string::npos);
        EXPECT_NE(got.warnings[0].find("expected CRC"), std::string::npos);
      } else {
        EXPECT_NE(Message(got.open).find(kPath), std::string_view::npos);
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(BlockDamage, EveryChangedByteIsNoticed) {
  ExpectEveryChangedByteIsNoticed(FixedData());
  ExpectEveryChangedByteIsNoticed(SharedData());
}

TEST(BlockDamage, EveryTruncationIsNoticed) {
  const Made made = Make(FixedData());
  const auto rows = std::make_shared<MapIndexRows>(made.rows);
  for (size_t size = 0; size < made.block.size(); ++size) {
    const Outcome got = ReadBlock(made.block.substr(0, size), rows);
    EXPECT_TRUE(absl::IsDataLoss(got.open)) << size << " " << got.open;
    EXPECT_NE(Message(got.open).find(kPath), std::string_view::npos);
  }
  // Cut away between Open and the reading.
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDir("/blocks").ok());
  ASSERT_TRUE(WriteFileAtomically(&fs, kPath, made.block).ok());
  auto block = *Block::Open(&fs, kPath);
  auto index = *IndexReader::Open(rows, block->info().series);
  auto file = fs.OpenWritable(kPath, FileSystem::WriteMode::kReuse);
  ASSERT_TRUE((*file)->Truncate(20).ok());
  QueryContext context;
  SelectHints hints;
  hints.end_ms = 3600000;
  auto set = *MakeBlockSource(block, index)->Select(context, {}, hints);
  ASSERT_TRUE(*set->Next());
  SampleColumns columns;
  EXPECT_FALSE(*set->Cursor()->Next(&columns));
  ASSERT_FALSE(context.warnings().empty());
  EXPECT_NE(context.warnings()[0].find(kPath), std::string::npos);
}

// RocksDB checks the rows' bytes, so here only crashes and endless loops count.
TEST(BlockDamage, ChangedIndexRowsDoNotCrash) {
  std::mt19937_64 random(TestSeed());
  const Made made = Make(FixedData());
  std::vector<std::vector<Matcher>> selectors;
  for (int i = 0; i < 10; ++i) selectors.push_back(RandomMatchers(&random));
  for (const auto& [key, value] : made.rows) {
    for (size_t i = 0; i < value.size() * 2; ++i) {
      auto rows = std::make_shared<MapIndexRows>(made.rows);
      std::string& bytes = rows->rows()[key];
      if (i < value.size()) {
        bytes[i] = static_cast<char>(random());
      } else {
        bytes.resize(i - value.size());
      }
      auto index = IndexReader::Open(rows, 6);
      if (!index.ok()) continue;
      QueryContext context;
      for (const auto& matchers : selectors) {
        const auto ids = (*index)->Select(context, matchers);
        if (ids.ok()) {
          SeriesLabels labels(*index);
          for (const uint32_t id : *ids) {
            ASSERT_LT(id, 6u);
            labels.Read(id).IgnoreError();
          }
        }
        (*index)->LabelNames(context, matchers, 0).IgnoreError();
        (*index)->LabelValues(context, "job", matchers, 0).IgnoreError();
      }
    }
  }
}

TEST(BlockDamage, NewerFormatsAreRefusedByName) {
  const Made made = Make(FixedData());
  const auto rows = std::make_shared<MapIndexRows>(made.rows);
  std::string newer = made.block;
  newer[8] = 9;
  const uint32_t crc = Crc32c(std::string_view(newer).substr(0, 12));
  StoreFixed(newer.data() + 12, crc);
  const Outcome got = ReadBlock(newer, rows);
  EXPECT_TRUE(absl::IsUnimplemented(got.open));
  EXPECT_NE(Message(got.open).find("version 9"), std::string_view::npos);

  auto changed = std::make_shared<MapIndexRows>(made.rows);
  changed->rows()[IndexRowKey(IndexRow::kNames, 0)][0] = 9;
  EXPECT_TRUE(absl::IsUnimplemented(ReadBlock(made.block, changed).open));
}

// ---------------------------------------------------------------------- golden

std::string GoldenPath(std::string_view name) {
  return fmt::format("{}/tests/golden/{}", VARVE_SOURCE_DIR, name);
}

std::string EncodeRows(const Made& made) {
  std::string out;
  for (const auto& [key, value] : made.rows) {
    PutText(&out, key);
    PutText(&out, value);
  }
  return out;
}

std::string ReadGolden(std::string_view name) {
  auto bytes = ReadFile(FileSystem::Posix(), GoldenPath(name), 1 << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *std::move(bytes) : "";
}

void ExpectData(const MapSource& data, const std::string& block,
                const std::string& index) {
  IndexRowList rows;
  for (Decoder in(index); in.remaining() > 0;) {
    const std::string key(in.Text());
    rows.emplace_back(key, in.Text());
  }
  const Outcome got = ReadBlock(block, std::make_shared<MapIndexRows>(rows));
  EXPECT_TRUE(got.open.ok()) << got.open;
  EXPECT_EQ(got.content, ReadContent(data));
  EXPECT_EQ(got.warnings, std::vector<std::string>());
}

// Written by earlier writers of version 1; never changed.
TEST(BlockGolden, OldBlocksStayReadable) {
  for (const char* name : {"block_v1_xor.bin", "block_v1_counts.bin"}) {
    SCOPED_TRACE(name);
    ExpectData(FixedData(), ReadGolden(name), ReadGolden("index_v1.bin"));
  }
}

// The writer's bytes may change only together with their spec: then set
// VARVE_UPDATE_GOLDEN and keep the old file under another name, above.
void ExpectGolden(const MapSource& data, std::string_view block_name,
                  std::string_view index_name) {
  const Made made = Make(data);
  const std::string index = EncodeRows(made);
  if (std::getenv("VARVE_UPDATE_GOLDEN") != nullptr) {
    FileSystem* fs = FileSystem::Posix();
    ASSERT_TRUE(
        WriteFileAtomically(fs, GoldenPath(block_name), made.block).ok());
    ASSERT_TRUE(WriteFileAtomically(fs, GoldenPath(index_name), index).ok());
  }
  ExpectData(data, ReadGolden(block_name), ReadGolden(index_name));
  EXPECT_TRUE(made.block == ReadGolden(block_name));
  EXPECT_TRUE(index == ReadGolden(index_name));
}

TEST(BlockGolden, TheWritersBytesStayTheSame) {
  ExpectGolden(FixedData(), "block_v1.bin", "index_v1.bin");
}

TEST(BlockGolden, TheBytesOfSharedBodiesStayTheSame) {
  ExpectGolden(SharedData(), "block_v1_shared.bin", "index_v1_shared.bin");
}

}  // namespace
}  // namespace varve
