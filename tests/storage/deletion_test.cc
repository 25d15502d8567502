#include "storage/deletion.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <set>

#include "storage/block_mask.h"
#include "storage/coding.h"
#include "storage/manifest.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

Matcher Match(MatchType type, std::string name, std::string value) {
  auto matcher = Matcher::Create(type, std::move(name), std::move(value));
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  return *matcher;
}

Deletion Example() {
  Deletion out;
  out.number = 7;
  out.selectors = {{Match(MatchType::kEqual, "__name__", "up"),
                    Match(MatchType::kNotEqual, "job", ""),
                    Match(MatchType::kRegex, "instance", "a.*|b"),
                    Match(MatchType::kNotRegex, "zone é", "x|y")},
                   {},
                   {Match(MatchType::kEqual, "a", "b")}};
  out.range = {-5, 1'700'000'000'000};
  out.wal_segment = 300;
  return out;
}

std::string Golden() {
  std::ifstream in(
      std::string(VARVE_SOURCE_DIR) + "/tests/golden/deletion_v1.bin",
      std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Deletion, GoldenBytes) {
  const std::string golden = Golden();
  ASSERT_FALSE(golden.empty());
  EXPECT_EQ(EncodeDeletion(Example()), golden);
  const auto read = DecodeDeletion(7, golden);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)->number, 7u);
  EXPECT_EQ((*read)->wal_segment, 300u);
  EXPECT_EQ((*read)->range, Example().range);
  EXPECT_EQ(SelectorsText((*read)->selectors),
            SelectorsText(Example().selectors));
}

TEST(Deletion, DamageIsAnErrorOrAnotherDeletion) {
  const std::string golden = Golden();
  for (size_t cut = 0; cut < golden.size(); ++cut) {
    EXPECT_EQ(DecodeDeletion(1, golden.substr(0, cut)).status().code(),
              absl::StatusCode::kDataLoss)
        << cut;
  }
  EXPECT_FALSE(DecodeDeletion(1, golden + "x").ok());
  EXPECT_EQ(DecodeDeletion(1, "\x02").status().code(),
            absl::StatusCode::kUnimplemented);
  std::mt19937_64 random(TestSeed());
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = golden;
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto read = DecodeDeletion(1, bytes);
    if (!read.ok()) continue;
    const auto again = DecodeDeletion(1, EncodeDeletion(**read));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(EncodeDeletion(**again), EncodeDeletion(**read));
  }
}

TEST(Deletion, SelectsByAnyOfTheSelectors) {
  const Selectors selectors = Example().selectors;
  const auto named = [&](const Labels& labels) {
    return Selects(selectors, labels);
  };
  EXPECT_TRUE(named({{"__name__", "up"}, {"job", "x"}, {"instance", "ab"}}));
  EXPECT_FALSE(named({{"__name__", "up"}, {"instance", "ab"}}));
  EXPECT_TRUE(named({{"a", "b"}}));
  EXPECT_FALSE(named({{"a", "c"}}));
  EXPECT_FALSE(Selects({{}}, Labels{{"a", "b"}}));
}

TEST(TimeRange, RangesAndSamplesAsInASet) {
  std::mt19937_64 random(TestSeed());
  constexpr int64_t kTimes = 40;
  for (int round = 0; round < 2000; ++round) {
    std::vector<TimeRange> ranges;
    std::set<int64_t> deleted;
    for (uint64_t n = random() % 5; n > 0; --n) {
      TimeRange range;
      range.first_ms = static_cast<int64_t>(random() % kTimes);
      range.last_ms = range.first_ms + static_cast<int64_t>(random() % 8);
      for (int64_t t = range.first_ms; t <= range.last_ms; ++t) {
        deleted.insert(t);
      }
      // What is beyond the times looked at makes no difference.
      if (range.last_ms >= kTimes && random() % 2) range.last_ms = kMax;
      if (range.first_ms == 0 && random() % 2) range.first_ms = kMin;
      AddRange(range, &ranges);
    }
    for (size_t i = 1; i < ranges.size(); ++i) {
      ASSERT_GT(ranges[i].first_ms, ranges[i - 1].last_ms + 1);
    }
    SampleColumns columns;
    SampleColumns expected;
    const bool starts = random() % 2;
    columns.timestamps_id = 5;
    for (int64_t t = 0; t < kTimes; ++t) {
      if (random() % 3 == 0) continue;
      for (SampleColumns* to : {&columns, &expected}) {
        if (to == &expected && deleted.contains(t)) continue;
        to->timestamps.push_back(t);
        to->values.push_back(static_cast<double>(t));
        if (starts) to->start_timestamps.push_back(t - 1);
      }
    }
    const size_t before = columns.size();
    EXPECT_EQ(RemoveSamples(ranges, &columns), before - expected.size());
    ASSERT_EQ(columns.timestamps, expected.timestamps);
    ASSERT_EQ(columns.values, expected.values);
    ASSERT_EQ(columns.start_timestamps, expected.start_timestamps);
    EXPECT_EQ(columns.timestamps_id != 0, columns.size() == before);
  }
}

TEST(BlockMask, EqualsSetsOfTimes) {
  std::mt19937_64 random(TestSeed());
  constexpr uint32_t kSeries = 30;
  const TimeRange whole{100, 119};
  for (int round = 0; round < 300; ++round) {
    BlockMask mask(whole);
    std::vector<std::set<int64_t>> deleted(kSeries);
    for (uint64_t n = random() % 6; n > 0; --n) {
      Ids ids;
      for (uint32_t id = 0; id < kSeries; ++id) {
        if (random() % 3 == 0) ids.push_back(id);
      }
      TimeRange range{kMin, kMax};
      if (random() % 2) {
        range.first_ms = 95 + static_cast<int64_t>(random() % 30);
      }
      if (random() % 2) {
        range.last_ms = 95 + static_cast<int64_t>(random() % 30);
      }
      if (range.first_ms > range.last_ms) continue;
      mask.Add(ids, range);
      for (uint32_t id : ids) {
        for (int64_t t = whole.first_ms; t <= whole.last_ms; ++t) {
          if (t >= range.first_ms && t <= range.last_ms) deleted[id].insert(t);
        }
      }
    }
    Ids wholly;
    Ids gone;
    Ids all;
    bool more = false;
    const TimeRange asked{105, 200};
    for (uint32_t id = 0; id < kSeries; ++id) {
      std::set<int64_t> found;
      for (const TimeRange& range : mask.RangesOf(id)) {
        for (int64_t t = range.first_ms; t <= range.last_ms; ++t) {
          found.insert(t);
        }
      }
      ASSERT_EQ(found, deleted[id]) << id;
      all.push_back(id);
      if (deleted[id].size() == 20) wholly.push_back(id);
      const auto in_asked =
          std::distance(deleted[id].lower_bound(105), deleted[id].end());
      if (in_asked == 15) gone.push_back(id);
      more |= in_asked < 15;
    }
    EXPECT_EQ(mask.GoneWholly(), wholly);
    EXPECT_EQ(mask.Gone(all, asked), gone);
    EXPECT_EQ(mask.HasMore(all, asked), more);
  }
}

TEST(Manifest, KeepsDeletionsAndReadsRowsOfBefore) {
  MemoryFileSystem fs;
  RowStoreOptions options;
  options.directory = "/data/index";
  options.fs = &fs;
  auto rows = RowStore::Open(options);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_TRUE(ReadManifest(rows->get()).ok());

  RowStore::Batch batch;
  BlockInfo info;
  info.day = 3;
  info.part = 9;
  info.order = 2;
  info.series = 1;
  info.deletions_done = 77;
  PutBlockRow(info, &batch);
  // The row as it was before there were the last two fields.
  info.part = 10;
  PutBlockRow(info, &batch);
  batch.puts.back().second.resize(batch.puts.back().second.size() - 2);
  PutDeletionRow(Example(), &batch);
  ASSERT_TRUE((*rows)->WriteManifest(batch).ok());

  const auto manifest = ReadManifest(rows->get());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->blocks.size(), 2u);
  EXPECT_EQ(manifest->blocks[0].deletions_done, 77u);
  EXPECT_EQ(manifest->blocks[0].order, 2);
  EXPECT_EQ(manifest->blocks[1].deletions_done, 0u);
  EXPECT_EQ(manifest->blocks[1].order, 10);
  ASSERT_EQ(manifest->deletions.size(), 1u);
  EXPECT_EQ(EncodeDeletion(*manifest->deletions[0]), Golden());
  EXPECT_EQ(manifest->deletions[0]->number, 7u);

  // A varve that knows no deletions refuses version 2; so do we a later one.
  std::string version;
  PutVarint(&version, 3);
  RowStore::Batch later;
  later.puts.emplace_back("v", version);
  ASSERT_TRUE((*rows)->WriteManifest(later).ok());
  EXPECT_EQ(ReadManifest(rows->get()).status().code(),
            absl::StatusCode::kUnimplemented);

  RowStore::Batch damaged;
  PutDeletionRow(Example(), &damaged);
  damaged.puts[0].second.pop_back();
  ASSERT_TRUE((*rows)->WriteManifest(damaged).ok());
  EXPECT_EQ(ReadManifest(rows->get()).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace varve
