#include "ingest/series_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace varve {
namespace {

SeriesKey Key(int i) { return MakeSeriesKey(fmt::format("series {}", i)); }

TEST(SeriesCacheTest, FindsWhatWasInserted) {
  SeriesCache cache;
  EXPECT_EQ(cache.FindOne(1, Key(0)), kNoSeries);
  constexpr int kSeries = 100000;
  for (int i = 0; i < kSeries; ++i) {
    cache.Insert(1, Key(i), static_cast<SeriesRef>(i));
    cache.Insert(1, Key(i), static_cast<SeriesRef>(i));
  }
  EXPECT_EQ(cache.size(), size_t{kSeries});
  std::vector<SeriesKey> keys;
  for (int i = 0; i < 2 * kSeries; ++i) keys.push_back(Key(i));
  std::vector<SeriesRef> refs(keys.size());
  cache.Find(1, keys, refs);
  for (int i = 0; i < 2 * kSeries; ++i) {
    ASSERT_EQ(refs[i], i < kSeries ? static_cast<SeriesRef>(i) : kNoSeries);
  }
  EXPECT_LT(cache.bytes(), size_t{kSeries} * 45);
}

TEST(SeriesCacheTest, ANewEpochForgets) {
  SeriesCache cache;
  cache.Insert(1, Key(0), 5);
  EXPECT_EQ(cache.FindOne(1, Key(0)), 5u);
  EXPECT_EQ(cache.FindOne(2, Key(0)), kNoSeries);
  EXPECT_EQ(cache.size(), 0u);
  cache.Insert(2, Key(0), 6);
  EXPECT_EQ(cache.FindOne(2, Key(0)), 6u);
}

TEST(SeriesCacheTest, StaysWithinItsBound) {
  SeriesCache cache(20000);
  for (int i = 0; i < 200000; ++i) cache.Insert(1, Key(i), 1);
  EXPECT_LE(cache.size(), 20000u);
  EXPECT_GT(cache.size(), 1000u);
  EXPECT_LT(cache.bytes(), size_t{20000} * 48 + 4096);
}

TEST(SeriesCacheTest, SpacesAreApart) {
  EXPECT_NE(MakeSeriesKey("a", 1), MakeSeriesKey("a", 2));
  EXPECT_EQ(MakeSeriesKey("a", 1), MakeSeriesKey("a", 1));
  EXPECT_NE(MakeSeriesKey("a"), MakeSeriesKey("b"));
}

TEST(SeriesCacheTest, AKeyOfZerosIsAKey) {
  SeriesCache cache;
  cache.Insert(1, SeriesKey{0, 0}, 7);
  EXPECT_EQ(cache.FindOne(1, SeriesKey{0, 0}), 7u);
  EXPECT_EQ(cache.FindOne(1, SeriesKey{0, 1}), kNoSeries);
}

TEST(SeriesCacheTest, ManyThreads) {
  SeriesCache cache(50000);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &wrong, t] {
      std::vector<SeriesKey> keys(200);
      std::vector<SeriesRef> refs(200);
      for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 200; ++i) keys[i] = Key(round * 150 + i + t);
        cache.Find(1, keys, refs);
        for (int i = 0; i < 200; ++i) {
          const auto right = static_cast<SeriesRef>(round * 150 + i + t);
          if (refs[i] == kNoSeries) {
            cache.Insert(1, keys[i], right);
          } else if (refs[i] != right) {
            ++wrong;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace varve
