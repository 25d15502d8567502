#include "query/histogram_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/seed.h"

namespace varve::promql {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

FloatHistogram Exponential() {
  FloatHistogram h;
  h.schema = 0;
  h.zero_threshold = 0.001;
  h.zero_count = 2;
  h.count = 12;
  h.sum = 20;
  h.positive_spans = {{0, 2}, {1, 1}};  // (0.5,1] (1,2] (4,8]
  h.positive_buckets = {3, 1, 4};
  h.negative_spans = {{1, 1}};  // [-2,-1)
  h.negative_buckets = {2};
  return h;
}

TEST(HistogramMathTest, ListsBucketsInOrder) {
  const auto buckets = BucketsOf(Exponential());
  ASSERT_EQ(buckets.size(), 5);
  EXPECT_EQ(buckets[0].lower, -2);
  EXPECT_EQ(buckets[0].upper, -1);
  EXPECT_EQ(buckets[1].lower, -0.001);
  EXPECT_EQ(buckets[1].upper, 0.001);
  EXPECT_EQ(buckets[2].lower, 0.5);
  EXPECT_EQ(buckets[4].lower, 4);
  EXPECT_EQ(buckets[4].upper, 8);
  EXPECT_EQ(buckets[4].count, 4);
}

TEST(HistogramMathTest, BoundsOfOtherSchemas) {
  FloatHistogram h;
  h.schema = 2;
  h.positive_spans = {{1, 1}};
  h.positive_buckets = {1};
  EXPECT_EQ(BucketsOf(h)[0].lower, 1);
  EXPECT_NEAR(BucketsOf(h)[0].upper, std::exp2(0.25), 1e-15);
  h.schema = -1;
  EXPECT_EQ(BucketsOf(h)[0].upper, 4);
  h.schema = 0;
  h.positive_spans = {{1024, 1}};
  EXPECT_EQ(BucketsOf(h)[0].upper, std::numeric_limits<double>::max());
  h.schema = kCustomBucketsSchema;
  h.custom_values = {1, 5};
  h.positive_spans = {{0, 3}};
  h.positive_buckets = {1, 1, 1};
  EXPECT_EQ(BucketsOf(h)[0].lower, -kInf);
  EXPECT_EQ(BucketsOf(h)[1].lower, 1);
  EXPECT_EQ(BucketsOf(h)[2].upper, kInf);
}

TEST(HistogramMathTest, InterpolatesExponentially) {
  const FloatHistogram h = Exponential();
  // The rank 10 of 12 is half way, logarithmically, through (4,8].
  EXPECT_NEAR(QuantileOf(10.0 / 12, h).value, std::sqrt(32), 1e-12);
  EXPECT_NEAR(QuantileOf(1.0 / 12, h).value, -std::sqrt(2), 1e-12);
  // The zero bucket is linear.
  EXPECT_NEAR(QuantileOf(3.0 / 12, h).value, 0, 1e-15);
  EXPECT_EQ(QuantileOf(-0.1, h).value, -kInf);
  EXPECT_EQ(QuantileOf(1.1, h).value, kInf);
}

TEST(HistogramMathTest, EmptyAndNan) {
  FloatHistogram h;
  EXPECT_TRUE(std::isnan(QuantileOf(0.5, h).value));
  EXPECT_TRUE(std::isnan(FractionOf(0, 1, h).value));
  h = Exponential();
  h.sum = std::nan("");
  h.count = 20;
  EXPECT_EQ(QuantileOf(0.9, h).nan, NanEffect::kResultNan);
  EXPECT_TRUE(std::isnan(QuantileOf(0.9, h).value));
  EXPECT_EQ(QuantileOf(0.1, h).nan, NanEffect::kSkewed);
  EXPECT_DOUBLE_EQ(FractionOf(-kInf, kInf, h).value, 12.0 / 20);
}

// A fraction undoes a quantile, for classic and native histograms.
TEST(HistogramMathTest, FractionsInvertQuantiles) {
  std::mt19937_64 random(TestSeed());
  std::uniform_real_distribution<double> unit(0.01, 0.99);
  for (int round = 0; round < 500; ++round) {
    FloatHistogram h;
    h.schema = static_cast<int32_t>(random() % 9) - 2;
    h.positive_spans = {{static_cast<int32_t>(random() % 5) - 2, 6}};
    h.sum = 1;
    for (int i = 0; i < 6; ++i) {
      h.positive_buckets.push_back(static_cast<double>(1 + random() % 9));
      h.count += h.positive_buckets.back();
    }
    std::vector<ClassicBucket> classic;
    double cumulative = 0;
    for (int i = 0; i < 6; ++i) {
      cumulative += h.positive_buckets[static_cast<size_t>(i)];
      classic.push_back({static_cast<double>(i + 1), cumulative});
    }
    classic.push_back({kInf, cumulative});
    const double q = unit(random);
    EXPECT_NEAR(FractionOf(-kInf, QuantileOf(q, h).value, h).value, q, 1e-9);
    auto copy = classic;
    const double value = QuantileOf(q, &copy).value;
    EXPECT_NEAR(FractionOf(-kInf, value, &classic), q, 1e-9);
  }
}

TEST(HistogramMathTest, RepairsMonotonicity) {
  std::vector<ClassicBucket> rounding = {{1, 5}, {2, 5 - 1e-13}, {kInf, 10}};
  EXPECT_FALSE(QuantileOf(0.5, &rounding).forced_monotonicity);
  std::vector<ClassicBucket> wrong = {{1, 5}, {2, 4}, {kInf, 10}};
  EXPECT_TRUE(QuantileOf(0.5, &wrong).forced_monotonicity);
  EXPECT_EQ(wrong[1].count, 5);
}

TEST(HistogramMathTest, Variance) {
  FloatHistogram h;
  h.schema = kCustomBucketsSchema;
  h.custom_values = {0, 2, 4};
  h.positive_spans = {{1, 2}};
  h.positive_buckets = {1, 1};
  h.count = 2;
  h.sum = 4;
  EXPECT_DOUBLE_EQ(VarianceOf(h), 1);
}

}  // namespace
}  // namespace varve::promql
