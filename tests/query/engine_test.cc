#include "query/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "storage/status_macros.h"
#include "tests/support/map_source.h"

namespace varve::promql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    for (int i = 0; i < 100; ++i) {
      const std::string id = std::to_string(i);
      for (int64_t t = 0; t <= 600'000; t += 15'000) {
        source_.Add(Labels{{kMetricName, "m_total"}, {"i", id}}, t,
                    static_cast<double>(t) / 1000 * (i + 1));
      }
    }
  }

  absl::StatusOr<QueryResult> Run(std::string_view query, QueryParameters p,
                                  QueryContext::Limits limits = {},
                                  EngineOptions options = {}) {
    QueryContext context(Clock::System(), limits);
    return Engine(options).Run(context, source_, query, p);
  }
  absl::StatusOr<QueryResult> Instant(std::string_view query, int64_t t) {
    return Run(query, {t, t, 0, 0});
  }

  MapSource source_;
};

TEST_F(EngineTest, GivesEachTypeOfValue) {
  const auto scalar = Instant("1 + 2", 5000);
  ASSERT_TRUE(scalar.ok()) << scalar.status();
  EXPECT_EQ(scalar->type, ValueType::kScalar);
  EXPECT_EQ(scalar->scalar.value, 3);
  EXPECT_EQ(scalar->scalar.timestamp_ms, 5000);

  const auto text = Instant("\"x\"", 5000);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->type, ValueType::kString);
  EXPECT_EQ(text->string, "x");

  const auto vector = Instant("m_total{i=\"3\"}", 60'000);
  ASSERT_TRUE(vector.ok());
  EXPECT_EQ(vector->type, ValueType::kVector);
  ASSERT_EQ(vector->series.size(), 1u);
  EXPECT_EQ(vector->series[0].floats[0].value, 240);
  EXPECT_EQ(vector->samples_total, 1);

  const auto matrix = Instant("m_total{i=\"3\"}[30s]", 60'000);
  ASSERT_TRUE(matrix.ok());
  EXPECT_EQ(matrix->type, ValueType::kMatrix);
  ASSERT_EQ(matrix->series.size(), 1u);
  EXPECT_EQ(matrix->series[0].floats.size(), 2u);

  const auto range = Run("sum(m_total)", {0, 60'000, 30'000, 0});
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->type, ValueType::kMatrix);
  ASSERT_EQ(range->series.size(), 1u);
  EXPECT_EQ(range->series[0].floats.size(), 3u);

  const auto scalars = Run("1", {0, 60'000, 30'000, 0});
  ASSERT_TRUE(scalars.ok());
  EXPECT_EQ(scalars->type, ValueType::kMatrix);
}

TEST_F(EngineTest, RangeResultsAreSortedByLabels) {
  const auto result = Run("-m_total", {0, 60'000, 30'000, 0});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->series.size(), 100u);
  for (size_t i = 1; i < result->series.size(); ++i) {
    EXPECT_LT(result->series[i - 1].labels, result->series[i].labels);
  }
}

TEST_F(EngineTest, RefusesWhatIsNotAQuery) {
  for (const auto& [query, part] :
       std::map<std::string, std::string>{{"sum(", "parse error"},
                                          {"m_total[5m]", "for range query"},
                                          {"\"x\"", "for range query"}}) {
    const auto result = Run(query, {0, 60'000, 30'000, 0});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(Message(result.status())), HasSubstr(part));
  }
  EXPECT_FALSE(Run("1", {60'000, 0, 30'000, 0}).ok());
  EXPECT_FALSE(Run("1", {0, 0, -1, 0}).ok());
  const int64_t far = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(Run("m_total", {far, far, 0, 0}).ok());
  EXPECT_FALSE(Run("m_total", {-far, far, 1, 0}).ok());
}

TEST_F(EngineTest, ExtremeTimesDoNoHarm) {
  for (const char* query :
       {"m_total @ 9e15", "m_total @ -9e15", "m_total offset 200y",
        "sum_over_time(m_total[290y] offset -290y)",
        "count_over_time(m_total[1m:100ms] @ 8e15)"}) {
    const auto result = Instant(query, 0);
    EXPECT_TRUE(result.ok()) << query << ": " << result.status();
  }
}

TEST_F(EngineTest, FillingRefusesDuplicatesBesideAnEmptySide) {
  for (const char* query : {"nope + on () fill_right(2) m_total",
                            "nope + on () fill_left(2) m_total",
                            "m_total + on () group_right () fill(1) nope"}) {
    EXPECT_EQ(Instant(query, 60'000).status().code(),
              absl::StatusCode::kFailedPrecondition)
        << query;
  }
  EXPECT_TRUE(Instant("nope + on () m_total", 60'000).ok());
}

TEST_F(EngineTest, SamplesAreBounded) {
  QueryContext::Limits limits;
  limits.samples_max = 1000;
  const QueryParameters p = {0, 600'000, 15'000, 0};
  const auto result = Run("rate(m_total[5m])", p, limits);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(result.status())), HasSubstr("samples"));
  // What counts are the samples that are held at once, a series' here.
  for (const char* query : {"sum(rate(m_total[5m]))", "sum(m_total)"}) {
    limits.samples_max = 100;
    EXPECT_TRUE(Run(query, p, limits).ok()) << query;
    limits.samples_max = 20;
    EXPECT_EQ(Run(query, p, limits).status().code(),
              absl::StatusCode::kResourceExhausted)
        << query;
  }
}

TEST_F(EngineTest, BytesAreBounded) {
  for (const char* query :
       {"m_total", "sum by (i) (m_total)", "m_total * on (i) m_total",
        "count_values(\"v\", m_total)", "topk(3, m_total)",
        "quantile(0.5, m_total)", "sum_over_time(vector(1)[10y:1m])",
        "m_total and on (i) m_total"}) {
    QueryContext::Limits limits;
    limits.bytes_max = 20'000;
    const auto result = Run(query, {0, 600'000, 5'000, 0}, limits);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted)
        << query;
    limits.bytes_max = 0;
    EXPECT_TRUE(Run(query, {0, 15'000, 15'000, 0}, limits).ok()) << query;
  }
}

TEST_F(EngineTest, QueriesShareABudget) {
  QueryContext::Limits limits;
  limits.budget = std::make_shared<QueryBudget>(200'000);
  {
    QueryContext other(Clock::System(), limits);
    ASSERT_TRUE(other.ChargeBytes(150'000).ok());
    const auto result = Run("m_total", {0, 600'000, 5'000, 0}, limits);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(Message(result.status())),
                HasSubstr("--query.max-total-bytes"));
    EXPECT_EQ(limits.budget->bytes, 150'000);
  }
  EXPECT_EQ(limits.budget->bytes, 0);
  EXPECT_TRUE(Run("m_total", {0, 60'000, 5'000, 0}, limits).ok());
  EXPECT_EQ(limits.budget->bytes, 0);
}

// The pairs of a cross join are charged as they are found.
TEST_F(EngineTest, ACrossJoinIsBounded) {
  QueryContext::Limits limits;
  limits.bytes_max = 1'000'000;
  const auto result =
      Run("m_total * on () group_left m_total", {0, 0, 0, 0}, limits);
  EXPECT_FALSE(result.ok());
  limits.bytes_max = 100'000;
  EXPECT_EQ(Run("m_total * on () group_left m_total", {0, 0, 0, 0}, limits)
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(EngineTest, ASubqueryHasAMostNumberOfSteps) {
  const auto result = Instant("sum_over_time(vector(1)[100y:1ms])", 0);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(EngineTest, CanBeCancelledAndTimesOut) {
  QueryContext context;
  context.Cancel();
  EXPECT_EQ(
      Engine({}).Run(context, source_, "m_total", {0, 0, 0, 0}).status().code(),
      absl::StatusCode::kCancelled);
  QueryContext::Limits limits;
  limits.deadline_ns = 1;
  EXPECT_EQ(Run("m_total", {0, 0, 0, 0}, limits).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineTest, WarningsOfTheSourceAreShown) {
  QueryContext context;
  context.AddWarning("block 7 could not be read");
  const auto result =
      Engine({}).Run(context, source_, "quantile(2, m_total)", {0, 0, 0, 0});
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->warnings,
              ElementsAre("PromQL warning: quantile value should be between 0 "
                          "and 1, got 2 (1:10)",
                          "block 7 could not be read"));
}

TEST_F(EngineTest, TheLookbackCanBeSet) {
  EXPECT_EQ(Instant("m_total", 899'000)->series.size(), 100u);
  EXPECT_EQ(Run("m_total", {899'000, 899'000, 0, 60'000})->series.size(), 0u);
  EngineOptions options;
  options.lookback_ms = 60'000;
  EXPECT_EQ(
      Run("m_total", {899'000, 899'000, 0, 0}, {}, options)->series.size(), 0u);
}

TEST(EngineStartTest, StartTimestampsTellResetsOnlyWhenAsked) {
  MapSource source;
  const Labels labels{{kMetricName, "c_total"}};
  source.Add(labels, 0, 10, -60'000);
  source.Add(labels, 60'000, 20, 30'000);  // began anew at 30 s
  for (const bool use : {false, true}) {
    EngineOptions options;
    options.use_start_timestamps = use;
    QueryContext context;
    const auto result = Engine(options).Run(
        context, source, "resets(c_total[5m])", {60'000, 60'000, 0, 0});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->series.at(0).floats.at(0).value, use ? 1 : 0);
  }
}

/// Without delayed name removal names go at once, and what then is equal is
/// refused where it stands at the same time.
TEST(EngineNamesTest, AreRemovedAtOnceByDefault) {
  MapSource source;
  source.Add(Labels{{kMetricName, "a_total"}, {"x", "1"}}, 0, 1);
  source.Add(Labels{{kMetricName, "a_total"}, {"x", "1"}}, 60'000, 61);
  source.Add(Labels{{kMetricName, "b_total"}, {"x", "1"}}, 0, 2);
  source.Add(Labels{{kMetricName, "b_total"}, {"x", "1"}}, 60'000, 62);
  const auto run = [&](std::string_view query) {
    QueryContext context;
    return Engine({}).Run(context, source, query, {60'000, 60'000, 0, 0});
  };
  for (const char* query :
       {"rate({x=\"1\"}[2m])", "-{x=\"1\"}", "abs({x=\"1\"})", "{x=\"1\"} + 1",
        "{x=\"1\"} > bool 1", "timestamp({x=\"1\"})"}) {
    const auto result = run(query);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition)
        << query;
    EXPECT_EQ(Message(result.status()),
              "vector cannot contain metrics with the same labelset");
  }
  for (const char* query : {"last_over_time({x=\"1\"}[2m])", "{x=\"1\"} > 1",
                            "sort({x=\"1\"})", "topk(2, {x=\"1\"})"}) {
    const auto result = run(query);
    ASSERT_TRUE(result.ok()) << query << ": " << result.status();
    EXPECT_EQ(result->series.size(), 2u) << query;
  }
  const auto by_name = run("sum by (__name__) (rate(a_total[2m]))");
  ASSERT_TRUE(by_name.ok());
  EXPECT_EQ(by_name->series[0].labels, Labels());
}

TEST(EngineNamesTest, AreMergedWhereTheyDoNotOverlap) {
  MapSource source;
  source.Add(Labels{{kMetricName, "a"}}, 0, 1);
  source.Add(Labels{{kMetricName, "b"}}, 600'000, 2);
  QueryContext context;
  const auto result = Engine({}).Run(context, source, "{__name__=~\"a|b\"} * 2",
                                     {0, 600'000, 600'000, 0});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->series.size(), 1u);
  EXPECT_EQ(result->series[0].floats.size(), 2u);
}

}  // namespace
}  // namespace varve::promql
