#include "storage/block_store.h"

#include <gtest/gtest.h>

#include <limits>

#include "storage/status_macros.h"
#include "tests/support/block_data.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
constexpr int64_t kDayMs = 24 * kHourMs;

std::unique_ptr<BlockStore> OpenStore(FileSystem* fs) {
  BlockStoreOptions options;
  options.directory = "/db";
  options.fs = fs;
  auto store = BlockStore::Open(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

/// Publishes the data inside the window as one block.
absl::Status PublishBlock(BlockStore* store, const MapSource& data,
                          TimeWindow window,
                          std::vector<BlockInfo> replaced = {},
                          std::vector<SealMark> marks = {}) {
  VARVE_ASSIGN_OR_RETURN(auto builder, store->NewBlock(window));
  VARVE_RETURN_IF_ERROR(AddAll(data, window, 120, builder.get()));
  std::vector<std::unique_ptr<BlockBuilder>> builders;
  builders.push_back(std::move(builder));
  return store->Publish(std::move(builders), replaced, marks);
}

MapSource SmallData(int64_t start_ms, int samples = 5) {
  MapSource data;
  for (const char* instance : {"a", "b"}) {
    for (int i = 0; i < samples; ++i) {
      data.Add(Labels{{"__name__", "up"}, {"instance", instance}},
               start_ms + i * 1000, i);
    }
  }
  return data;
}

std::vector<std::string> Files(FileSystem* fs, const std::string& directory,
                               std::string_view suffix = "") {
  std::vector<std::string> names;
  const auto files = fs->List(directory);
  for (const FileInfo& file : *files) {
    if (file.name.ends_with(suffix)) names.push_back(file.name);
  }
  return names;
}

/// Compares Select, LabelNames and LabelValues of both sources.
void ExpectSame(const SeriesSource& got, const SeriesSource& want,
                const std::vector<Matcher>& matchers, int64_t start_ms,
                int64_t end_ms) {
  std::string text;
  for (const Matcher& m : matchers) text += m.ToString() + " ";
  SCOPED_TRACE(fmt::format("{{{}}} [{}, {}]", text, start_ms, end_ms));
  EXPECT_EQ(ReadContent(got, start_ms, end_ms, matchers),
            ReadContent(want, start_ms, end_ms, matchers));
}

void ExpectSameLabels(const SeriesSource& got, const SeriesSource& want,
                      const std::vector<Matcher>& matchers, int64_t limit) {
  SelectHints hints;
  hints.start_ms = std::numeric_limits<int64_t>::min();
  hints.end_ms = std::numeric_limits<int64_t>::max();
  hints.limit = limit;
  QueryContext context;
  std::string text;
  for (const Matcher& m : matchers) text += m.ToString() + " ";
  SCOPED_TRACE(text);
  EXPECT_EQ(*got.LabelNames(context, matchers, hints),
            *want.LabelNames(context, matchers, hints));
  for (const char* name : {"__name__", "instance", "A", "path", "nope"}) {
    EXPECT_EQ(*got.LabelValues(context, name, matchers, hints),
              *want.LabelValues(context, name, matchers, hints))
        << name;
  }
  EXPECT_EQ(context.warnings(), std::vector<std::string>());
}

TEST(BlockStore, AnEmptyOneHasNothing) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  EXPECT_TRUE(store->Blocks().empty());
  EXPECT_TRUE(ReadContent(*store->Snapshot()).empty());
}

TEST(BlockStore, ServesWhatWasPublishedAlsoAfterACrash) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  const MapSource data = SmallData(0);
  ASSERT_TRUE(PublishBlock(store.get(), data, {0, 2 * kHourMs}, {},
                           {{0, 7}, {2 * kHourMs, 3}})
                  .ok());
  ExpectSame(*store->Snapshot(), data, {}, 0, kDayMs);
  ASSERT_EQ(store->Blocks().size(), 1u);
  const BlockInfo info = store->Blocks()[0];
  EXPECT_EQ(info.series, 2u);
  EXPECT_EQ(info.samples, 10u);
  EXPECT_EQ(info.min_ms, 0);
  EXPECT_EQ(info.max_ms, 4000);
  EXPECT_GT(info.file_bytes, 0u);
  EXPECT_GT(info.index_bytes, 0u);

  const auto image = fs.CrashImage();
  auto again = OpenStore(image.get());
  ExpectSame(*again->Snapshot(), data, {}, 0, kDayMs);
  EXPECT_EQ(again->seal_marks(),
            (std::vector<SealMark>{{0, 7}, {2 * kHourMs, 3}}));
  EXPECT_EQ(again->Blocks()[0].file_bytes, info.file_bytes);
}

TEST(BlockStore, EqualsAMapForRandomDataAndSelectors) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 4; ++round) {
    MemoryFileSystem fs;
    auto store = OpenStore(&fs);
    RandomDataOptions options;
    options.series = round == 0 ? 600 : 40;
    options.samples_max = round == 0 ? 10 : 300;
    // Across a day's end, and before 1970.
    options.window = {round * kDayMs - 5 * kHourMs, round * kDayMs + kHourMs};
    const MapSource data = RandomData(options, &random);
    for (int64_t start = options.window.start_ms; start < options.window.end_ms;
         start += kHourMs) {
      const absl::Status s =
          PublishBlock(store.get(), data, {start, start + kHourMs});
      ASSERT_TRUE(s.ok()) << s;
    }
    const auto snapshot = store->Snapshot();
    ExpectSame(*snapshot, data, {}, INT64_MIN, INT64_MAX);
    for (int i = 0; i < 30; ++i) {
      const std::vector<Matcher> matchers = RandomMatchers(&random);
      const auto length = static_cast<uint64_t>(7 * kHourMs);
      const int64_t start = options.window.start_ms - kHourMs +
                            static_cast<int64_t>(random() % length);
      const int64_t end = start + static_cast<int64_t>(random() % length);
      ExpectSame(*snapshot, data, matchers, start, end);
      ExpectSameLabels(*snapshot, data, matchers,
                       static_cast<int64_t>(random() % 3 * (random() % 10)));
      if (HasFailure()) return;
    }
  }
}

TEST(BlockStore, SharesTimestampColumns) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  ASSERT_TRUE(PublishBlock(store.get(), SmallData(0), {0, kHourMs}).ok());
  QueryContext context;
  SelectHints hints;
  hints.end_ms = kDayMs;
  const auto snapshot = store->Snapshot();
  auto set = *snapshot->Select(context, {}, hints);
  std::vector<uint64_t> ids;
  while (*set->Next()) {
    auto cursor = set->Cursor();
    SampleColumns columns;
    ASSERT_TRUE(*cursor->Next(&columns));
    ids.push_back(columns.timestamps_id);
  }
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_NE(ids[0], 0u);
  EXPECT_EQ(ids[0], ids[1]);
}

TEST(BlockStore, ASnapshotOutlivesItsBlocks) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  const MapSource data = SmallData(0);
  ASSERT_TRUE(PublishBlock(store.get(), data, {0, kHourMs}).ok());
  auto snapshot = store->Snapshot();
  QueryContext context;
  SelectHints hints;
  hints.end_ms = kDayMs;
  auto set = *snapshot->Select(context, {}, hints);
  ASSERT_TRUE(*set->Next());
  auto cursor = set->Cursor();
  set.reset();

  EXPECT_EQ(*DropDaysBefore(store.get(), kDayMs), 1);
  EXPECT_TRUE(store->Blocks().empty());
  EXPECT_TRUE(ReadContent(*store->Snapshot()).empty());
  ExpectSame(*snapshot, data, {}, 0, kDayMs);
  EXPECT_EQ(Files(&fs, "/db/blocks").size(), 1u);
  snapshot.reset();
  // The cursor alone still pins it.
  EXPECT_EQ(*DropDaysBefore(store.get(), kDayMs), 0);
  SampleColumns columns;
  EXPECT_TRUE(*cursor->Next(&columns));
  EXPECT_EQ(columns.size(), 5u);
  cursor.reset();
  EXPECT_EQ(*DropDaysBefore(store.get(), kDayMs), 0);
  EXPECT_TRUE(Files(&fs, "/db/blocks").empty());
  EXPECT_TRUE(Files(&fs, "/db/index", ".sst").empty());
}

TEST(BlockStore, DropsOnlyWholeDays) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  for (const int64_t day : {-2, -1, 0, 1}) {
    const int64_t start = day * kDayMs;
    ASSERT_TRUE(
        PublishBlock(store.get(), SmallData(start), {start, start + kHourMs})
            .ok());
  }
  EXPECT_EQ(*DropDaysBefore(store.get(), -kDayMs - 1), 0);
  EXPECT_EQ(*DropDaysBefore(store.get(), -kDayMs), 1);
  EXPECT_EQ(*DropDaysBefore(store.get(), kDayMs + 5), 2);
  ASSERT_EQ(store->Blocks().size(), 1u);
  EXPECT_EQ(store->Blocks()[0].day, 1);
}

TEST(BlockStore, ReplacesInOneStep) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  const MapSource data = SmallData(0);
  ASSERT_TRUE(PublishBlock(store.get(), data, {0, 2000}).ok());
  ASSERT_TRUE(PublishBlock(store.get(), data, {2000, kHourMs}).ok());
  ASSERT_TRUE(
      PublishBlock(store.get(), data, {0, kHourMs}, store->Blocks()).ok());
  ASSERT_EQ(store->Blocks().size(), 1u);
  EXPECT_EQ(store->Blocks()[0].part, 2);
  ExpectSame(*store->Snapshot(), data, {}, 0, kDayMs);
  EXPECT_EQ(Files(&fs, "/db/blocks").size(), 1u);
  EXPECT_EQ(Files(&fs, "/db/index", ".sst").size(), 1u);
}

TEST(BlockStore, RefusesWhatIsNotABlock) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  EXPECT_FALSE(store->NewBlock({0, 0}).ok());
  EXPECT_FALSE(store->NewBlock({0, kDayMs + 1}).ok());
  EXPECT_FALSE(store->NewBlock({INT64_MIN, INT64_MIN + 1}).ok());
  EXPECT_TRUE(store->NewBlock({-1, 0}).ok());
  auto builder = *store->NewBlock({0, kHourMs});
  SampleColumns columns;
  columns.timestamps = {1, 2};
  columns.values = {1, 2};
  EXPECT_TRUE(builder->AddSeries(Labels{{"a", "2"}}, {&columns, 1}).ok());
  EXPECT_FALSE(builder->AddSeries(Labels{{"a", "1"}}, {&columns, 1}).ok());
  // A builder that failed is never published.
  std::vector<std::unique_ptr<BlockBuilder>> builders;
  builders.push_back(std::move(builder));
  EXPECT_FALSE(store->Publish(std::move(builders), {}, {}).ok());
  EXPECT_TRUE(store->Blocks().empty());
  for (const int64_t bad : {int64_t{-1}, kHourMs, int64_t{1}}) {
    auto other = *store->NewBlock({0, kHourMs});
    columns.timestamps = {1, bad};
    EXPECT_FALSE(other->AddSeries(Labels{{"a", "2"}}, {&columns, 1}).ok());
  }
  EXPECT_TRUE(Files(&fs, "/db/blocks").empty());
}

TEST(BlockStore, KeepsFactsAndForgetsMarks) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  ASSERT_TRUE(store->PutFact("family/b", "2").ok());
  ASSERT_TRUE(store->PutFact("family/a", "1").ok());
  ASSERT_TRUE(store->PutFact("other", "3").ok());
  ASSERT_TRUE(
      store->Publish({}, {}, std::vector<SealMark>{{5, 2}, {-6, 3}}).ok());
  ASSERT_TRUE(store->Publish({}, {}, std::vector<SealMark>{{5, 1}}).ok());
  EXPECT_EQ(store->seal_marks(), (std::vector<SealMark>{{-6, 3}, {5, 2}}));
  ASSERT_TRUE(store->ForgetMarks(2).ok());
  const auto image = fs.CrashImage();
  store = OpenStore(image.get());
  EXPECT_EQ(store->seal_marks(), (std::vector<SealMark>{{-6, 3}}));
  using Rows = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(*store->Facts("family/"),
            (Rows{{"family/a", "1"}, {"family/b", "2"}}));
  store.reset();
}

TEST(BlockStore, ClosedIsClosed) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  ASSERT_TRUE(PublishBlock(store.get(), SmallData(0), {0, kHourMs}).ok());
  ASSERT_TRUE(store->Close().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      PublishBlock(store.get(), SmallData(0), {0, kHourMs})));
  EXPECT_TRUE(absl::IsFailedPrecondition(store->PutFact("a", "b")));
}

}  // namespace
}  // namespace varve
