// Blocks with their index inside: they answer as the data that went in, and
// damage is named.

#include "storage/portable_block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "storage/block_source.h"
#include "storage/check.h"
#include "storage/index_section.h"
#include "storage/status_macros.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/lone_block.h"
#include "tests/support/map_index_rows.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr char kLone[] = "/store/b";
constexpr char kPortable[] = "/bucket/b";
constexpr TimeWindow kWindow{0, 7200 * 1000};

/// The data that a block is made of, and the block with its index outside.
struct Original {
  explicit Original(MapSource source) : data(std::move(source)) {
    VARVE_CHECK(fs.CreateDir("/store").ok());
    VARVE_CHECK(fs.CreateDir("/bucket").ok());
    rows = WriteLoneBlock(&fs, kLone, data, kWindow, 120);
    block = *Block::Open(&fs, kLone);
    index = *IndexReader::Open(std::make_shared<MapIndexRows>(rows),
                               block->info().series);
  }

  MapSource data;
  MemoryFileSystem fs;
  IndexRowList rows;
  std::shared_ptr<const Block> block;
  std::shared_ptr<const IndexReader> index;
};

MapSource SomeData(std::mt19937_64* random, int series) {
  RandomDataOptions options;
  options.window = kWindow;
  options.series = series;
  options.samples_max = 40;
  return RandomData(options, random);
}

/// So many series that lists of ids get rows of their own.
MapSource ManySeries(std::mt19937_64* random) {
  MapSource data;
  for (int i = 0; i < 6000; ++i) {
    data.Add(Labels{{"__name__", "m"},
                    {"i", std::to_string(i)},
                    {"side", (*random)() % 2 == 0 ? "left" : "right"}},
             i, i);
  }
  return data;
}

void ExpectEqualAnswers(const SeriesSource& found, const SeriesSource& expected,
                        std::mt19937_64* random) {
  EXPECT_EQ(ReadContent(found), ReadContent(expected));
  QueryContext context;
  SelectHints hints;
  hints.start_ms = std::numeric_limits<int64_t>::min();
  hints.end_ms = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < 40; ++i) {
    const auto matchers = RandomMatchers(random);
    EXPECT_EQ(ReadContent(found, hints.start_ms, hints.end_ms, matchers),
              ReadContent(expected, hints.start_ms, hints.end_ms, matchers));
  }
  const auto names = expected.LabelNames(context, {}, hints);
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*found.LabelNames(context, {}, hints), *names);
  for (const std::string& name : *names) {
    EXPECT_EQ(*found.LabelValues(context, name, {}, hints),
              *expected.LabelValues(context, name, {}, hints));
  }
}

TEST(PortableBlock, AnswersAsTheDataDoes) {
  std::mt19937_64 random(TestSeed());
  for (const int series : {1, 2, 256, 257, 700}) {
    SCOPED_TRACE(series);
    Original original(SomeData(&random, series));
    const auto size = WritePortableBlock(*original.block, *original.index,
                                         &original.fs, kPortable);
    ASSERT_TRUE(size.ok()) << size.status();
    // Nothing of the store is left.
    original.index.reset();
    original.block.reset();
    ASSERT_TRUE(original.fs.Remove(kLone).ok());

    const auto opened = OpenPortableBlock(&original.fs, kPortable);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->block->info().file_bytes, *size);
    ExpectEqualAnswers(*MakeBlockSource(opened->block, opened->index),
                       original.data, &random);
  }
}

TEST(PortableBlock, HoldsEveryRowOfTheIndex) {
  std::mt19937_64 random(TestSeed());
  Original original(ManySeries(&random));
  ASSERT_TRUE(WritePortableBlock(*original.block, *original.index, &original.fs,
                                 kPortable)
                  .ok());
  const auto opened = OpenPortableBlock(&original.fs, kPortable);
  ASSERT_TRUE(opened.ok()) << opened.status();
  IndexRowList rows;
  ASSERT_TRUE(opened->index
                  ->ForEachRow([&](IndexRow kind, uint32_t number,
                                   std::string_view value) {
                    rows.emplace_back(IndexRowKey(kind, number), value);
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(rows, original.rows);
  EXPECT_EQ(std::count_if(rows.begin(), rows.end(),
                          [](const auto& row) {
                            return row.first[0] ==
                                   static_cast<char>(IndexRow::kPosting);
                          }),
            2);
  // And says so of rows that it has not.
  const auto section = OpenIndexSection(opened->block);
  ASSERT_TRUE(section.ok());
  for (const auto& [kind, number] : {std::pair{IndexRow::kPosting, 0u},
                                     {IndexRow::kCatalogue, 24u},
                                     {IndexRow::kTerms, 2u},
                                     {IndexRow::kTermKeys, 1u}}) {
    EXPECT_EQ((*section)->Get(kind, number).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

/// The same in every version; both kinds of posting lists.
MapSource FixedSeries() {
  MapSource data;
  for (int i = 0; i < 1500; ++i) {
    data.Add(Labels{{"__name__", i % 7 == 0 ? "up" : "m"},
                    {"i", fmt::format("{:04}", i)},
                    {"side", i * i % 11 < 5 ? "left" : "right"}},
             i, i);
  }
  return data;
}

// The bytes may change only together with their spec: then set
// VARVE_UPDATE_GOLDEN and keep the old file under another name, as readable.
TEST(PortableBlock, TheBytesStayTheSame) {
  const std::string path =
      std::string(VARVE_SOURCE_DIR) + "/tests/golden/portable_v1.bin";
  Original original(FixedSeries());
  ASSERT_TRUE(WritePortableBlock(*original.block, *original.index, &original.fs,
                                 kPortable)
                  .ok());
  const std::string made = *ReadFile(&original.fs, kPortable, 1 << 30);
  if (std::getenv("VARVE_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(FileSystem::Posix(), path, made).ok());
  }
  const auto golden = ReadFile(FileSystem::Posix(), path, 1 << 20);
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_TRUE(
      WriteFileAtomically(&original.fs, "/bucket/golden", *golden).ok());
  const auto opened = OpenPortableBlock(&original.fs, "/bucket/golden");
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::mt19937_64 random(TestSeed());
  ExpectEqualAnswers(*MakeBlockSource(opened->block, opened->index),
                     original.data, &random);
  IndexRowList rows;
  ASSERT_TRUE(opened->index
                  ->ForEachRow([&](IndexRow kind, uint32_t number,
                                   std::string_view value) {
                    rows.emplace_back(IndexRowKey(kind, number), value);
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(rows, original.rows);
  EXPECT_TRUE(made == *golden);
}

TEST(PortableBlock, ABlockWithoutAnIndexInsideIsNone) {
  std::mt19937_64 random(TestSeed());
  Original original(SomeData(&random, 3));
  const auto opened = OpenPortableBlock(&original.fs, kLone);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(opened.status().message().find(kLone), std::string::npos);
}

TEST(PortableBlock, NothingIsLeftWhenTheDiskFails) {
  std::mt19937_64 random(TestSeed());
  Original original(SomeData(&random, 30));
  FaultFileSystem fault(&original.fs);
  int failures = 0;
  for (int n = 1; n < 100; ++n) {
    fault.FailCall(n, absl::ResourceExhaustedError("no space left"),
                   FaultFileSystem::kWrites);
    const auto size =
        WritePortableBlock(*original.block, *original.index, &fault, kPortable);
    fault.Heal();
    if (size.ok()) break;
    ++failures;
    const auto files = original.fs.List("/bucket");
    ASSERT_TRUE(files.ok());
    EXPECT_TRUE(files->empty());
  }
  EXPECT_GE(failures, 3);
}

/// What the source gives is right, and it warns if that is not all.
void ExpectPartOf(const SourceContent& expected, const SeriesSource& source,
                  int* missing) {
  QueryContext context;
  SelectHints hints;
  hints.start_ms = std::numeric_limits<int64_t>::min();
  hints.end_ms = std::numeric_limits<int64_t>::max();
  auto set = source.Select(context, {}, hints);
  ASSERT_TRUE(set.ok()) << set.status();
  SampleColumns columns;
  size_t found = 0;
  while (*(*set)->Next()) {
    const auto twin = expected.find((*set)->labels().ToString());
    ASSERT_NE(twin, expected.end()) << (*set)->labels().ToString();
    auto cursor = (*set)->Cursor();
    while (*cursor->Next(&columns)) {
      for (size_t i = 0; i < columns.size(); ++i, ++found) {
        const std::string& value = twin->second.at(columns.timestamps[i]);
        const std::string given = columns.histograms.empty()
                                      ? PrintFloat(columns.values[i])
                                      : PrintHistogram(*columns.histograms[i]);
        ASSERT_TRUE(value.starts_with(given));
      }
    }
  }
  size_t all = 0;
  for (const auto& [labels, samples] : expected) all += samples.size();
  EXPECT_EQ(found < all, !context.warnings().empty());
  *missing += found < all;
}

/// Every changed byte is noticed, or what is served is right all the same.
TEST(PortableBlock, NeverServesADamagedByte) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  Original original(SomeData(&random, 60));
  ASSERT_TRUE(WritePortableBlock(*original.block, *original.index, &original.fs,
                                 kPortable)
                  .ok());
  const auto good = ReadFile(&original.fs, kPortable, size_t{16} << 20);
  ASSERT_TRUE(good.ok());
  const SourceContent expected = ReadContent(original.data);
  int refused = 0;
  int missing = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = *good;
    const size_t at = random() % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 + random() % 255));
    if (i % 8 == 0) bytes.resize(at);
    SCOPED_TRACE(testing::Message() << "byte " << at << ", seed " << seed);
    ASSERT_TRUE(WriteFileAtomically(&original.fs, kPortable, bytes).ok());
    const auto opened = OpenPortableBlock(&original.fs, kPortable);
    if (!opened.ok()) {
      ++refused;
      EXPECT_NE(opened.status().message().find(kPortable), std::string::npos);
      continue;
    }
    ExpectPartOf(expected, *MakeBlockSource(opened->block, opened->index),
                 &missing);
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(missing, 20);
}

}  // namespace
}  // namespace varve
