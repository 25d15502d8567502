#include "query/histogram_arithmetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "query/histogram_fold.h"
#include "query/histogram_text.h"
#include "tests/support/seed.h"

namespace varve::promql {
namespace {

FloatHistogram Exponential(int32_t schema, int32_t first,
                           std::vector<double> counts) {
  FloatHistogram h;
  h.schema = schema;
  h.zero_threshold = 0.001;
  h.positive_spans = {{first, static_cast<uint32_t>(counts.size())}};
  for (double c : counts) h.count += c;
  h.sum = h.count;
  h.positive_buckets = std::move(counts);
  return h;
}

FloatHistogram Custom(std::vector<double> bounds, std::vector<double> counts) {
  FloatHistogram h = Exponential(kCustomBucketsSchema, 0, std::move(counts));
  h.zero_threshold = 0;
  h.custom_values = std::move(bounds);
  return h;
}

std::map<int32_t, double> Positive(const FloatHistogram& h) {
  std::map<int32_t, double> out;
  int32_t index = 0;
  size_t at = 0;
  for (const HistogramSpan& span : h.positive_spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length; ++i) {
      out[index++] = h.positive_buckets[at++];
    }
  }
  return out;
}

FloatHistogram Sum(const FloatHistogram& a, const FloatHistogram& b) {
  HistogramSum sum(a);
  EXPECT_FALSE(sum.Add(b).incompatible);
  return sum.Result();
}

TEST(HistogramSumTest, MergesToTheCoarserSchema) {
  // Schema 1: bucket i ends at 2^(i/2). Two of them make one of schema 0.
  const FloatHistogram fine = Exponential(1, 1, {1, 2, 4, 8});
  const FloatHistogram coarse = Exponential(0, 1, {100});
  for (const FloatHistogram& h : {Sum(fine, coarse), Sum(coarse, fine)}) {
    EXPECT_EQ(h.schema, 0);
    EXPECT_EQ(Positive(h), (std::map<int32_t, double>{{1, 103}, {2, 12}}));
    EXPECT_EQ(h.count, 115);
  }
}

TEST(HistogramSumTest, WidensTheZeroBucketPastPopulatedBuckets) {
  FloatHistogram wide = Exponential(0, 3, {5});
  wide.zero_threshold = 0.75;  // inside (0.5, 1], bucket 0
  wide.zero_count = 1;
  const FloatHistogram narrow = Exponential(0, -1, {1, 2, 4});  // to 0.5, 1, 2
  for (const FloatHistogram& h : {Sum(wide, narrow), Sum(narrow, wide)}) {
    EXPECT_EQ(h.zero_threshold, 1);
    EXPECT_EQ(h.zero_count, 4);
    EXPECT_EQ(Positive(h), (std::map<int32_t, double>{{1, 4}, {3, 5}}));
  }
}

TEST(HistogramSumTest, ReconcilesCustomBounds) {
  HistogramSum sum(Custom({1, 2, 5}, {1, 2, 3, 4}));
  const auto outcome = sum.Add(Custom({1, 3, 5}, {10, 20, 30, 40}));
  EXPECT_TRUE(outcome.bounds_reconciled);
  const FloatHistogram h = sum.Result();
  EXPECT_EQ(h.custom_values, (std::vector<double>{1, 5}));
  EXPECT_EQ(Positive(h),
            (std::map<int32_t, double>{{0, 11}, {1, 55}, {2, 44}}));
}

TEST(HistogramSumTest, DoesNotMixCustomAndExponential) {
  HistogramSum sum(Exponential(0, 1, {1}));
  EXPECT_TRUE(sum.Add(Custom({1}, {1, 1})).incompatible);
  EXPECT_EQ(Positive(sum.Result()), (std::map<int32_t, double>{{1, 1}}));
}

TEST(HistogramSumTest, NotesCollidingHints) {
  FloatHistogram reset = Exponential(0, 1, {1});
  reset.reset_hint = ResetHint::kReset;
  FloatHistogram not_reset = reset;
  not_reset.reset_hint = ResetHint::kNotReset;
  HistogramSum sum(reset);
  EXPECT_TRUE(sum.Add(not_reset).reset_collision);
  EXPECT_EQ(sum.Result().reset_hint, ResetHint::kUnknown);
}

TEST(HistogramSumTest, SubtractingGivesBack) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 200; ++round) {
    const auto make = [&] {
      std::vector<double> counts;
      for (int i = 0; i < 6; ++i) {
        counts.push_back(static_cast<double>(random() % 100));
      }
      return Exponential(static_cast<int32_t>(random() % 3),
                         static_cast<int32_t>(random() % 20) - 10, counts);
    };
    const FloatHistogram a = make();
    const FloatHistogram b = make();
    HistogramSum sum(a);
    sum.Add(b);
    sum.Add(b, -1);
    HistogramSum coarse(a);  // a, at the schema of the sum
    FloatHistogram nothing;
    nothing.schema = std::min(a.schema, b.schema);
    coarse.Add(nothing);
    EXPECT_EQ(Positive(sum.Result()), Positive(coarse.Result()));
    EXPECT_EQ(sum.Result().count, a.count);
  }
}

TEST(HistogramSumTest, IsCompensated) {
  FloatHistogram big = Exponential(0, 1, {1e100});
  FloatHistogram one = Exponential(0, 1, {1});
  HistogramSum sum(big);
  sum.Add(one);
  sum.Add(big, -1);
  EXPECT_EQ(sum.Result().count, 1);
  EXPECT_EQ(Positive(sum.Result()), (std::map<int32_t, double>{{1, 1}}));
}

TEST(HistogramFoldTest, AMeanDoesNotOverflow) {
  HistogramFold fold;
  FloatHistogram h = Exponential(0, 1, {2});
  h.sum = 1.5e308;
  for (int i = 0; i < 4; ++i) fold.Add(HistogramFold::Kind::kMean, h);
  const FloatHistogram mean = fold.Result(HistogramFold::Kind::kMean);
  EXPECT_NEAR(mean.sum / 1.5e308, 1, 1e-12);
  EXPECT_NEAR(mean.count, 2, 1e-12);
}

TEST(IsResetTest, LooksAtEveryCount) {
  const FloatHistogram a = Exponential(0, 1, {1, 2, 3});
  EXPECT_FALSE(IsReset(a, a));
  EXPECT_FALSE(IsReset(Exponential(0, 1, {1, 2, 4}), a));
  EXPECT_TRUE(IsReset(Exponential(0, 1, {9, 1, 9}), a));
  EXPECT_TRUE(IsReset(Exponential(0, 2, {9, 9, 9}), a)) << "bucket 1 is gone";
  EXPECT_TRUE(IsReset(Exponential(0, 1, {1, 2, 2}), a)) << "fewer in all";
  EXPECT_TRUE(IsReset(Exponential(1, 1, {9, 9, 9, 9}), a)) << "finer";
  EXPECT_FALSE(IsReset(Exponential(-1, 1, {9, 9}), a)) << "coarser";
  FloatHistogram hinted = Exponential(0, 1, {0, 0, 9});
  hinted.reset_hint = ResetHint::kNotReset;
  EXPECT_FALSE(IsReset(hinted, a));
  hinted = a;
  hinted.reset_hint = ResetHint::kReset;
  EXPECT_TRUE(IsReset(hinted, a));
}

TEST(TrimmedTest, KeepsOneSide) {
  const FloatHistogram h = Exponential(0, 1, {2, 4, 8});  // (1,2] (2,4] (4,8]
  const FloatHistogram low = Trimmed(h, 4, true);
  EXPECT_EQ(Positive(low), (std::map<int32_t, double>{{1, 2}, {2, 4}}));
  EXPECT_DOUBLE_EQ(low.sum, 2 * std::sqrt(2.0) + 4 * std::sqrt(8.0));
  const FloatHistogram high = Trimmed(h, std::sqrt(8.0), false);
  EXPECT_NEAR(Positive(high)[2], 2, 1e-12) << "half of a bucket";
  EXPECT_EQ(Positive(high)[3], 8);
  EXPECT_TRUE(SameHistogram(Trimmed(h, 100, true), h));
  EXPECT_EQ(Trimmed(h, 0, true).count, 0);
}

TEST(HistogramTextTest, AsPrometheusPrints) {
  FloatHistogram h = Exponential(0, 1, {2, 0, 1.5});
  h.zero_count = 1;
  h.sum = 1e21;
  EXPECT_EQ(HistogramText(h),
            "{count:3.5, sum:1e+21, [-0.001,0.001]:1, (1,2]:2, (4,8]:1.5}");
}

}  // namespace
}  // namespace varve::promql
