#include "storage/block_compactor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "storage/status_macros.h"
#include "tests/support/block_data.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;

class BlockCompactorTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    store_.reset();
    BlockStoreOptions options;
    options.directory = "/db";
    options.fs = &fs_;
    auto store = BlockStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void Publish(const MapSource& data, TimeWindow window,
               size_t chunk_samples = 120) {
    auto builder = store_->NewBlock(window);
    ASSERT_TRUE(builder.ok()) << builder.status();
    ASSERT_TRUE(AddAll(data, window, chunk_samples, builder->get()).ok());
    std::vector<std::unique_ptr<BlockBuilder>> builders;
    builders.push_back(*std::move(builder));
    ASSERT_TRUE(store_->Publish(std::move(builders), {}, {}).ok());
  }

  SourceContent Content() const { return ReadContent(*store_->Snapshot()); }

  absl::Status Compact(const std::vector<BlockInfo>& inputs,
                       const CompactOptions& options = {}) {
    return CompactBlocks(store_.get(), inputs, options, &report_);
  }

  size_t FileCount() {
    const auto files = fs_.List("/db/blocks");
    return files.ok() ? files->size() : 0;
  }

  MemoryFileSystem fs_;
  std::unique_ptr<BlockStore> store_;
  CompactReport report_;
};

Labels Up(std::string_view instance) {
  return Labels{{"__name__", "up"}, {"instance", std::string(instance)}};
}

TEST_F(BlockCompactorTest, WhatWasStoredFirstStaysAlsoBesideLaterBlocks) {
  for (int block = 0; block < 4; ++block) {
    MapSource data;
    // Block 1 has a time of its own, 2 and 3 share all of theirs.
    for (int i = 0; i < 5; ++i) {
      data.Add(Up("a"), 1000 * (i + block % 3), 10 * block + i);
    }
    Publish(data, {0, kHourMs});
  }
  const SourceContent before = Content();
  auto blocks = store_->Blocks();
  ASSERT_EQ(blocks.size(), 4u);
  // In any order of the inputs, and the result stays before 3.
  ASSERT_TRUE(Compact({blocks[2], blocks[0], blocks[1]}).ok());
  EXPECT_EQ(Content(), before);
  EXPECT_EQ(report_.series, 1u);
  EXPECT_EQ(report_.samples, 7u);
  blocks = store_->Blocks();
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[0].part, 4);
  EXPECT_EQ(blocks[0].order, 0);
  EXPECT_EQ(FileCount(), 2u);
  EXPECT_EQ(report_.bytes_after, blocks[0].file_bytes + blocks[0].index_bytes);

  Open();
  EXPECT_EQ(Content(), before);
  ASSERT_EQ(store_->Blocks().size(), 2u);
  EXPECT_EQ(store_->Blocks()[0].order, 0);
  ASSERT_TRUE(Compact(store_->Blocks()).ok());
  EXPECT_EQ(Content(), before);
  EXPECT_EQ(store_->Blocks().size(), 1u);
}

TEST_F(BlockCompactorTest, RandomBlocksKeepEverySampleAndEveryBit) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", seed, round));
    fs_.CreateDir("/db").IgnoreError();
    Open();
    RandomDataOptions options;
    options.series = 60;
    const MapSource first = RandomData(options, &random);
    const MapSource second = RandomData(options, &random);
    options.window = {2 * kHourMs, 4 * kHourMs};
    const MapSource third = RandomData(options, &random);
    const size_t chunk = 1 + random() % 300;
    Publish(first, {0, 2 * kHourMs}, chunk);
    Publish(second, {0, 2 * kHourMs}, chunk);
    Publish(third, {2 * kHourMs, 4 * kHourMs}, chunk);
    const SourceContent before = Content();
    auto blocks = store_->Blocks();
    std::shuffle(blocks.begin(), blocks.end(), random);
    ASSERT_TRUE(Compact(blocks).ok());
    EXPECT_EQ(Content(), before);
    EXPECT_EQ(store_->Blocks().size(), 1u);
    EXPECT_EQ(FileCount(), 1u);
    Open();
    EXPECT_EQ(Content(), before);
    ASSERT_TRUE(DropDaysBefore(store_.get(), 100 * 24 * kHourMs).ok());
  }
}

TEST_F(BlockCompactorTest, JoinsShortChunksAndCopiesLongOnes) {
  constexpr int kSeries = 10;
  const auto publish = [&](int64_t start_s, int count, size_t chunk_samples) {
    MapSource data;
    for (int s = 0; s < kSeries; ++s) {
      for (int i = 0; i < count; ++i) {
        data.Add(Up(fmt::format("{}", s)), (start_s + i) * 1000, i % 7 * s);
      }
    }
    Publish(data, {0, kHourMs}, chunk_samples);
  };
  publish(0, 600, 60);
  publish(600, 600, 300);
  publish(1200, 1200, 1200);
  publish(2400, 60, 60);
  const SourceContent before = Content();
  ASSERT_TRUE(Compact(store_->Blocks()).ok());
  EXPECT_EQ(Content(), before);
  EXPECT_EQ(report_.chunks_copied, 1u * kSeries);
  EXPECT_EQ(report_.chunks_encoded, 2u * kSeries);  // 1200 and 60 samples

  // The long chunks stay as they are from now on.
  publish(3000, 1, 1);
  ASSERT_TRUE(Compact(store_->Blocks()).ok());
  EXPECT_EQ(report_.chunks_copied, 2u * kSeries);
  EXPECT_EQ(report_.chunks_encoded, 1u * kSeries);

  // A sample that falls into one of them costs that one only.
  MapSource late;
  late.Add(Up("3"), 500'500, 1);
  Publish(late, {0, kHourMs});
  const SourceContent with_late = Content();
  CompactOptions options;
  options.dropped = [](const BlockInfo&, const Labels& labels) {
    return labels.Get("instance") == "4"
               ? std::vector<TimeRange>{{1'300'000, 1'300'000}}
               : std::vector<TimeRange>{};
  };
  ASSERT_TRUE(Compact(store_->Blocks(), options).ok());
  EXPECT_EQ(report_.samples_dropped, 1u);
  EXPECT_EQ(report_.chunks_copied, 2u * kSeries - 2);
  SourceContent want = with_late;
  EXPECT_EQ(want[Up("4").ToString()].erase(1'300'000), 1u);
  EXPECT_EQ(Content(), want);
}

TEST_F(BlockCompactorTest, LeavesOutWhatTheFilterNames) {
  MapSource first;
  MapSource second;
  for (int i = 0; i < 10; ++i) {
    for (const char* instance : {"a", "b", "c"}) {
      (i < 5 ? first : second).Add(Up(instance), i * 1000, i);
    }
  }
  Publish(first, {0, kHourMs});
  Publish(second, {0, kHourMs});
  SourceContent want = Content();
  const auto blocks = store_->Blocks();
  CompactOptions options;
  options.dropped = [](const BlockInfo& input, const Labels& labels) {
    std::vector<TimeRange> ranges;
    if (labels.Get("instance") == "b") ranges.push_back({0, 9000});
    if (labels.Get("instance") == "c" && input.part == 0) {
      ranges = {{-1, 0}, {2000, 3000}, {9000, 9000}};
    }
    return ranges;
  };
  want.erase(Up("b").ToString());
  for (const int64_t t : {0, 2000, 3000}) want[Up("c").ToString()].erase(t);
  ASSERT_TRUE(Compact(blocks, options).ok());
  EXPECT_EQ(Content(), want);
  EXPECT_EQ(report_.samples_dropped, 13u);
  EXPECT_EQ(report_.samples, 17u);
  EXPECT_EQ(report_.series, 2u);

  // What is dropped in all its samples leaves no block.
  options.dropped = [](const BlockInfo&, const Labels&) {
    return std::vector<TimeRange>{{std::numeric_limits<int64_t>::min(),
                                   std::numeric_limits<int64_t>::max()}};
  };
  ASSERT_TRUE(Compact(store_->Blocks(), options).ok());
  EXPECT_TRUE(Content().empty());
  EXPECT_TRUE(store_->Blocks().empty());
  EXPECT_EQ(FileCount(), 0u);
}

TEST_F(BlockCompactorTest, CancelledAtAnyPointItChangesNothing) {
  MapSource data;
  for (int i = 0; i < 300; ++i) data.Add(Up(fmt::format("{}", i)), i, i);
  Publish(data, {0, kHourMs});
  Publish(data, {0, kHourMs});
  const SourceContent before = Content();
  int asked = 0;
  int cancel_at = 1;
  CompactOptions options;
  options.cancelled = [&] { return ++asked >= cancel_at; };
  for (; cancel_at < 100; ++cancel_at) {
    asked = 0;
    const absl::Status s = Compact(store_->Blocks(), options);
    EXPECT_EQ(Content(), before);
    if (s.ok()) break;
    EXPECT_TRUE(absl::IsCancelled(s)) << s;
    EXPECT_EQ(store_->Blocks().size(), 2u);
    EXPECT_EQ(FileCount(), 2u);
  }
  EXPECT_GT(cancel_at, 2);
  EXPECT_EQ(store_->Blocks().size(), 1u);
}

TEST_F(BlockCompactorTest, ADamagedInputIsNamedAndStays) {
  MapSource data;
  for (int i = 0; i < 200; ++i) data.Add(Up("a"), i * 1000, 1.0 / (i + 1));
  Publish(data, {0, kHourMs});
  Publish(data, {0, kHourMs});
  auto bytes = ReadFile(&fs_, "/db/blocks/d0-p1.block", 1 << 20);
  ASSERT_TRUE(bytes.ok());
  // In the first page of the data.
  (*bytes)[100] ^= 1;
  store_.reset();
  ASSERT_TRUE(WriteFileAtomically(&fs_, "/db/blocks/d0-p1.block", *bytes).ok());
  Open();
  const auto blocks = store_->Blocks();
  const absl::Status s = Compact(blocks);
  EXPECT_TRUE(absl::IsDataLoss(s)) << s;
  EXPECT_NE(Message(s).find("d0-p1.block"), std::string_view::npos) << s;
  ASSERT_EQ(report_.damaged.size(), 1u);
  EXPECT_EQ(report_.damaged[0].part, 1);
  EXPECT_EQ(store_->Blocks().size(), 2u);
  EXPECT_EQ(FileCount(), 2u);
  ASSERT_TRUE(Compact({blocks[0]}).ok());
}

TEST_F(BlockCompactorTest, OpenQueriesKeepReadingWhatTheyBeganWith) {
  MapSource data;
  for (int i = 0; i < 200; ++i) data.Add(Up("a"), i * 1000, i);
  Publish(data, {0, kHourMs});
  const auto snapshot = store_->Snapshot();
  const auto old = store_->Blocks();
  ASSERT_TRUE(Compact(old).ok());
  EXPECT_EQ(ReadContent(*snapshot), Content());
  EXPECT_EQ(FileCount(), 2u);
  const absl::Status again = Compact(old);
  EXPECT_TRUE(absl::IsAborted(again)) << again;
}

Deletion DeletionOf(std::string_view instance, TimeRange range) {
  Deletion out;
  out.selectors = {
      {*Matcher::Create(MatchType::kEqual, "instance", std::string(instance))}};
  out.range = range;
  return out;
}

TEST_F(BlockCompactorTest, ADeletionBeforeOrMeanwhileIsNotUndone) {
  MapSource data;
  for (const char* instance : {"a", "b", "c"}) {
    for (int i = 0; i < 10; ++i) data.Add(Up(instance), 1000 * i, i);
  }
  Publish(data, {0, kHourMs});
  ASSERT_TRUE(store_->Delete(DeletionOf("a", {2000, 4000})).ok());
  // Written after it, so it stays.
  MapSource later;
  later.Add(Up("a"), 3000, 77);
  Publish(later, {0, kHourMs});
  SourceContent expected = Content();
  EXPECT_EQ(expected[Up("a").ToString()].size(), 8u);
  EXPECT_EQ(expected[Up("a").ToString()][3000], PrintFloat(77));

  CompactOptions options;
  int calls = 0;
  options.cancelled = [&] {
    if (++calls == 1) {
      EXPECT_TRUE(store_->Delete(DeletionOf("b", {0, 6000})).ok());
      EXPECT_TRUE(store_->Delete(DeletionOf("c", {0, 9000})).ok());
    }
    return false;
  };
  ASSERT_TRUE(Compact(store_->Blocks(), options).ok());
  EXPECT_GT(calls, 0);
  EXPECT_EQ(report_.samples_dropped, 3u);
  expected.erase(Up("c").ToString());
  std::erase_if(expected[Up("b").ToString()],
                [](const auto& sample) { return sample.first <= 6000; });
  EXPECT_EQ(Content(), expected);
  Open();
  EXPECT_EQ(Content(), expected);
  ASSERT_EQ(store_->Blocks().size(), 1u);
  EXPECT_EQ(store_->Blocks()[0].deletions_done, 1u);
  // The first is carried out, the others are not.
  ASSERT_TRUE(store_->ForgetMarks(1).ok());
  EXPECT_EQ(store_->deletions().size(), 2u);

  auto dirty = store_->BlocksToClean();
  ASSERT_TRUE(dirty.ok()) << dirty.status();
  ASSERT_EQ(dirty->size(), 1u);
  ASSERT_TRUE(Compact(*dirty).ok());
  EXPECT_EQ(report_.samples_dropped, 17u);
  EXPECT_EQ(Content(), expected);
  ASSERT_TRUE(store_->ForgetMarks(1).ok());
  EXPECT_TRUE(store_->deletions().empty());
  Open();
  EXPECT_EQ(Content(), expected);
}

}  // namespace
}  // namespace varve
