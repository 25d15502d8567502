// Aggregations that read their series in batches: the same answers as over all
// series at once, in memory that does not grow with them.

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "query/engine.h"
#include "tests/support/map_source.h"
#include "tests/support/seed.h"

namespace varve::promql {
namespace {

constexpr QueryParameters kRange = {0, 600'000, 30'000, 0};

/// `groups` jobs; values of all magnitudes, so that the order of addition
/// shows.
MapSource Source(int series, int groups) {
  MapSource source;
  std::mt19937_64 random(TestSeed());
  for (int i = 0; i < series; ++i) {
    const Labels labels{{kMetricName, "m"},
                        {"job", "job" + std::to_string(i % groups)},
                        {"i", std::to_string(i)}};
    for (int64_t t = 0; t <= 600'000; t += 60'000) {
      if (random() % 20 == 0) continue;
      const int scale = static_cast<int>(random() % 40) - 20;
      source.Add(labels, t, std::ldexp(static_cast<double>(random()), scale));
    }
  }
  return source;
}

struct Answer {
  absl::StatusOr<QueryResult> result;
  int64_t bytes_peak = 0;
  int64_t bytes_left = 0;
};

Answer Ask(const SeriesSource& source, std::string_view query,
           QueryParameters p = kRange) {
  QueryContext context;
  Answer answer;
  answer.result = Engine({}).Run(context, source, query, p);
  answer.bytes_peak = context.bytes_peak();
  answer.bytes_left = context.bytes();
  return answer;
}

void ExpectSame(const QueryResult& a, const QueryResult& b) {
  EXPECT_EQ(a.samples_total, b.samples_total);
  ASSERT_EQ(a.series.size(), b.series.size());
  for (size_t i = 0; i < a.series.size(); ++i) {
    EXPECT_EQ(a.series[i].labels, b.series[i].labels);
    ASSERT_EQ(a.series[i].floats.size(), b.series[i].floats.size());
    for (size_t k = 0; k < a.series[i].floats.size(); ++k) {
      EXPECT_EQ(a.series[i].floats[k].timestamp_ms,
                b.series[i].floats[k].timestamp_ms);
      EXPECT_EQ(std::bit_cast<uint64_t>(a.series[i].floats[k].value),
                std::bit_cast<uint64_t>(b.series[i].floats[k].value));
    }
  }
}

TEST(Batches, GiveWhatAllSeriesAtOnceGive) {
  const MapSource source = Source(1500, 7);
  for (const char* aggregation :
       {"sum by (job)", "sum", "avg by (job)", "min", "max without (i)",
        "count by (i)", "group", "stddev by (job)",
        "quantile by (job) (0.3,"}) {
    for (const char* input :
         {"rate(#[5m])", "-#", "# * 2", "abs(rate(#[2m]))", "timestamp(#)",
          "sum_over_time(#[3m]) > bool 5", "rate(#[5m] @ 300)"}) {
      const auto query = [&](std::string_view selector) {
        std::string text = aggregation;
        if (text.back() != ',') text += "(";
        for (const char* c = input; *c != 0; ++c) {
          if (*c == '#') {
            text += selector;
          } else {
            text += *c;
          }
        }
        return text + ")";
      };
      SCOPED_TRACE(query("m"));
      // What may have several names is not read in batches once names go.
      const Answer batched = Ask(source, query("m"));
      const Answer whole = Ask(source, query("{__name__=~\"m\"}"));
      ASSERT_TRUE(batched.result.ok()) << batched.result.status();
      ASSERT_TRUE(whole.result.ok()) << whole.result.status();
      ExpectSame(*batched.result, *whole.result);
      EXPECT_FALSE(batched.result->series.empty());
      if (std::string_view(aggregation) != "count by (i)" &&
          !std::string_view(aggregation).starts_with("quantile")) {
        EXPECT_LT(batched.bytes_peak, whole.bytes_peak / 2);
      }
    }
  }
}

TEST(Batches, BytesDoNotGrowWithTheSeries) {
  const MapSource few = Source(1000, 5);
  const MapSource many = Source(8000, 5);
  for (const char* query :
       {"sum by (job) (rate(m[5m]))", "count by (job) (m)", "avg(m * 2)",
        "min by (job) (m)", "max by (job) (abs(m))",
        "count({__name__=~\".+\"})",
        "sum by (job) (rate(m[5m])) / count by (job) (rate(m[5m]))"}) {
    const Answer a = Ask(few, query);
    const Answer b = Ask(many, query);
    ASSERT_TRUE(a.result.ok()) << a.result.status();
    ASSERT_TRUE(b.result.ok()) << b.result.status();
    EXPECT_LT(b.bytes_peak, a.bytes_peak * 11 / 10) << query;
    EXPECT_LT(b.bytes_peak, 200'000) << query;
  }
}

// Without the type, two series have the same labels: then they must be seen
// together. The last one sorts behind many that have none.
TEST(Batches, SeriesWithMetadataLabelsAreReadAtOnce) {
  MapSource source = Source(1000, 5);
  for (const char* type : {"counter", "gauge"}) {
    const Labels labels{{kMetricName, "m"}, {"A", "z"}, {"__type__", type}};
    const int64_t t = std::string_view(type) == "gauge" ? 0 : 400'000;
    source.Add(labels, t, 1);
    source.Add(labels, t + 60'000, 2);
  }
  const Answer overlap = Ask(source, "sum(rate(m[20m]))", {600'000, 600'000});
  EXPECT_EQ(overlap.result.status().code(),
            absl::StatusCode::kFailedPrecondition)
      << overlap.result.status();
  const Answer apart = Ask(source, "count by (A) (-m)");
  ASSERT_TRUE(apart.result.ok()) << apart.result.status();
  const Answer whole = Ask(source, "count by (A) (-{__name__=~\"m\"})");
  ASSERT_TRUE(whole.result.ok()) << whole.result.status();
  ExpectSame(*apart.result, *whole.result);
}

}  // namespace
}  // namespace varve::promql
