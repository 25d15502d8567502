#include "query/sample_reader.h"

#include <gtest/gtest.h>

#include "query/engine.h"
#include "tests/support/map_source.h"

namespace varve::promql {
namespace {

/// Gives batches of floats whose ids name their timestamps. Like a block, it
/// leaves timestamps alone that are there already.
class BatchCursor final : public SeriesCursor {
 public:
  struct Batch {
    uint64_t id = 0;
    std::vector<int64_t> times;
    std::vector<double> values;
  };
  explicit BatchCursor(std::vector<Batch> batches)
      : batches_(std::move(batches)) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    if (next_ == batches_.size()) {
      out->Clear();
      return false;
    }
    const Batch& batch = batches_[next_++];
    if (batch.id == 0 || out->timestamps_id != batch.id) {
      out->timestamps = batch.times;
    }
    out->timestamps_id = batch.id;
    out->values = batch.values;
    return true;
  }

 private:
  const std::vector<Batch> batches_;
  size_t next_ = 0;
};

TEST(SampleReader, KeepsOnlyTimesThatTheNextSeriesHas) {
  const BatchCursor::Batch a{7, {1, 2, 3}, {10, 20, 30}};
  const BatchCursor::Batch b{8, {4, 5}, {40, 50}};
  const BatchCursor::Batch c{9, {5, 6}, {50, 60}};
  const BatchCursor::Batch unnamed{0, {2, 4}, {20, 40}};
  const BatchCursor::Batch stale{8, {4, 5}, {StaleNan(), 50}};
  const BatchCursor::Batch all_stale{
      7, {1, 2, 3}, {StaleNan(), StaleNan(), StaleNan()}};
  using Series = std::vector<BatchCursor::Batch>;
  const std::vector<Series> all = {{a, b}, {a, b},       {a, c}, {a},
                                   {a, b}, {},           {a, b}, {b},
                                   {a, b}, {a, stale},   {a, b}, {unnamed},
                                   {a, b}, {unnamed, c}, {a, c}, {all_stale, b},
                                   {a, b}, {c, a},       {a, b}};
  QueryContext query;
  MapSource source;
  const EngineOptions options;
  Annotations annotations("");
  EvalContext context{query, source, options, annotations};
  SampleReader reader(context, false);
  RangeSeries got;
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<int64_t> times;
    std::vector<double> values;
    std::vector<uint64_t> ids;
    bool named = true;
    for (const BatchCursor::Batch& batch : all[i]) {
      for (size_t k = 0; k < batch.times.size(); ++k) {
        named = named && batch.id != 0 && !IsStaleNan(batch.values[k]);
        if (IsStaleNan(batch.values[k])) continue;
        times.push_back(batch.times[k]);
        values.push_back(batch.values[k]);
      }
      ids.push_back(batch.id);
    }
    if (!named) ids.clear();
    BatchCursor cursor(all[i]);
    ASSERT_TRUE(reader.Read(cursor, &got).ok());
    EXPECT_EQ(got.times, times) << "series " << i;
    EXPECT_EQ(got.values, values) << "series " << i;
    EXPECT_EQ(got.times_ids, ids) << "series " << i;
  }
}

TEST(SampleReader, ReadsMoreBatchesThanItHasBuffersFor) {
  std::vector<BatchCursor::Batch> batches;
  for (int64_t i = 0; i < 200; ++i) {
    batches.push_back({static_cast<uint64_t>(i + 1), {i}, {double(i)}});
  }
  QueryContext query;
  MapSource source;
  const EngineOptions options;
  Annotations annotations("");
  EvalContext context{query, source, options, annotations};
  SampleReader reader(context, false);
  RangeSeries got;
  for (int round = 0; round < 2; ++round) {
    BatchCursor cursor(batches);
    ASSERT_TRUE(reader.Read(cursor, &got).ok());
    ASSERT_EQ(got.times.size(), 200u);
    for (int64_t i = 0; i < 200; ++i) {
      EXPECT_EQ(got.times[static_cast<size_t>(i)], i);
      EXPECT_EQ(got.values[static_cast<size_t>(i)], double(i));
    }
  }
}

}  // namespace
}  // namespace varve::promql
