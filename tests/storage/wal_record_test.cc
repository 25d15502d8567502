#include "storage/wal_record.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>

#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();

void ExpectEqual(const WriteBatch& a, const WriteBatch& b) {
  ASSERT_EQ(a.refs, b.refs);
  ASSERT_EQ(a.timestamps, b.timestamps);
  ASSERT_EQ(a.values.size(), b.values.size());
  for (size_t i = 0; i < a.values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint64_t>(a.values[i]),
              std::bit_cast<uint64_t>(b.values[i]));
  }
  ASSERT_EQ(a.start_timestamps, b.start_timestamps);
  ASSERT_EQ(a.histograms.size(), b.histograms.size());
  for (size_t i = 0; i < a.histograms.size(); ++i) {
    ASSERT_EQ(a.histograms[i].ref, b.histograms[i].ref);
    ASSERT_EQ(a.histograms[i].timestamp_ms, b.histograms[i].timestamp_ms);
    ASSERT_EQ(a.histograms[i].start_timestamp_ms,
              b.histograms[i].start_timestamp_ms);
    ASSERT_TRUE(
        BitEqual(*a.histograms[i].histogram, *b.histograms[i].histogram));
  }
  ASSERT_EQ(a.exemplars.size(), b.exemplars.size());
  for (size_t i = 0; i < a.exemplars.size(); ++i) {
    ASSERT_EQ(a.exemplars[i].ref, b.exemplars[i].ref);
    ASSERT_EQ(a.exemplars[i].exemplar.labels, b.exemplars[i].exemplar.labels);
    ASSERT_EQ(a.exemplars[i].exemplar.timestamp_ms,
              b.exemplars[i].exemplar.timestamp_ms);
  }
  ASSERT_EQ(a.metadata.size(), b.metadata.size());
  for (size_t i = 0; i < a.metadata.size(); ++i) {
    ASSERT_EQ(a.metadata[i].family, b.metadata[i].family);
    ASSERT_EQ(a.metadata[i].metadata, b.metadata[i].metadata);
  }
}

template <typename Count>
Histogram RandomHistogram(std::mt19937_64& random) {
  BasicHistogram<Count> h;
  h.reset_hint = static_cast<ResetHint>(random() % 4);
  h.schema = static_cast<int32_t>(random());
  h.zero_threshold = std::bit_cast<double>(random());
  h.zero_count = std::bit_cast<Count>(random());
  h.count = std::bit_cast<Count>(random());
  h.sum = std::bit_cast<double>(random());
  for (auto* spans : {&h.positive_spans, &h.negative_spans}) {
    for (uint64_t i = random() % 4; i > 0; --i) {
      spans->push_back({static_cast<int32_t>(random()),
                        static_cast<uint32_t>(random() % 1000)});
    }
  }
  for (auto* buckets : {&h.positive_buckets, &h.negative_buckets}) {
    for (uint64_t i = random() % 5; i > 0; --i) {
      buckets->push_back(std::bit_cast<Count>(random() >> random() % 64));
    }
  }
  for (uint64_t i = random() % 3; i > 0; --i) {
    h.custom_values.push_back(std::bit_cast<double>(random()));
  }
  return h;
}

WriteBatch RandomBatch(std::mt19937_64& random) {
  WriteBatch batch;
  SeriesRef ref = 0;
  int64_t t = 1'700'000'000'000;
  const bool starts = random() % 3 == 0;
  for (uint64_t i = random() % 50; i > 0; --i) {
    ref = random() % 3 ? ref + 1 : static_cast<SeriesRef>(random()) % kNoSeries;
    if (random() % 3 == 0) t += 15000;
    if (random() % 20 == 0) t = static_cast<int64_t>(random());
    double v = static_cast<double>(random() % 100);
    if (random() % 3 == 0) v = std::bit_cast<double>(random());
    batch.Add(ref % kNoSeries, t, v);
    if (starts) {
      batch.start_timestamps.push_back(
          random() % 2 ? kNoStartTimestamp : static_cast<int64_t>(random()));
    }
  }
  for (uint64_t i = random() % 4; i > 0; --i) {
    batch.histograms.push_back(
        {static_cast<SeriesRef>(random() % 1000), t,
         static_cast<int64_t>(random()),
         std::make_shared<const Histogram>(
             random() % 2 ? RandomHistogram<uint64_t>(random)
                          : RandomHistogram<double>(random))});
  }
  for (uint64_t i = random() % 3; i > 0; --i) {
    batch.exemplars.push_back(
        {7, {Labels{{"trace", std::to_string(random())}}, 0.25, t}});
  }
  for (uint64_t i = random() % 3; i > 0; --i) {
    batch.metadata.push_back({std::to_string(random()), {"counter", "", "h"}});
  }
  return batch;
}

TEST(WalRecord, KeepsEveryBitOfACommit) {
  std::mt19937_64 random(TestSeed());
  std::string payload;
  WriteBatch decoded;
  for (int round = 0; round < 2000; ++round) {
    WriteBatch batch = RandomBatch(random);
    bool any_start = false;
    for (int64_t s : batch.start_timestamps) any_start |= s != 0;
    EncodeCommit(batch, &payload);
    ASSERT_TRUE(DecodeCommit(payload, &decoded).ok());
    if (!any_start) batch.start_timestamps.clear();
    ExpectEqual(batch, decoded);
  }
}

TEST(WalRecord, KeepsExtremes) {
  WriteBatch batch;
  batch.Add(kNoSeries - 1, kLowest, 0.0);
  batch.Add(0, kHighest, -0.0);
  batch.Add(0, 0, StaleNan());
  batch.Add(1, kLowest, 1);
  batch.start_timestamps = {kHighest, kLowest, kLowest, 1};
  std::string payload;
  WriteBatch decoded;
  EncodeCommit(batch, &payload);
  ASSERT_TRUE(DecodeCommit(payload, &decoded).ok());
  ExpectEqual(batch, decoded);
}

TEST(WalRecord, SeriesComeBack) {
  std::string payload;
  const Labels a{{"__name__", "m"}, {"x", std::string(300, 'y')}};
  EncodeSeries(0, a, &payload);
  EncodeSeries(kNoSeries - 1, Labels(), &payload);
  std::vector<std::pair<SeriesRef, Labels>> found;
  ASSERT_TRUE(DecodeSeries(payload, [&](SeriesRef ref, Labels labels) {
                found.emplace_back(ref, std::move(labels));
              }).ok());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].second, a);
  EXPECT_EQ(found[1].first, kNoSeries - 1);
}

TEST(WalRecord, DamagedPayloadsAreErrorsNotCrashes) {
  std::mt19937_64 random(TestSeed());
  std::string payload;
  WriteBatch decoded;
  for (int round = 0; round < 300; ++round) {
    EncodeCommit(RandomBatch(random), &payload);
    for (size_t size = 0; size < payload.size(); ++size) {
      if (DecodeCommit(std::string_view(payload).substr(0, size), &decoded)
              .ok()) {
        continue;  // cut between two sections
      }
      ASSERT_EQ(decoded.size(), 0u);
    }
    for (int i = 0; i < 50 && !payload.empty(); ++i) {
      std::string bad = payload;
      bad[random() % bad.size()] = static_cast<char>(random());
      (void)DecodeCommit(bad, &decoded);
      (void)DecodeSeries(bad, [](SeriesRef, Labels) {});
    }
  }
}

TEST(WalRecord, ASampleTakesFiveBytes) {
  WriteBatch batch;
  for (SeriesRef ref = 0; ref < 1000; ++ref) {
    batch.Add(ref, 1'700'000'000'000, ref * 3.0);
  }
  std::string payload;
  EncodeCommit(batch, &payload);
  EXPECT_LE(payload.size(), 1000u * 5);
}

}  // namespace
}  // namespace varve
