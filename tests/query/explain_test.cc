#include <gtest/gtest.h>

#include "query/engine.h"
#include "storage/status_macros.h"
#include "tests/support/map_source.h"

namespace varve::promql {
namespace {

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    for (int64_t t = 0; t <= 600'000; t += 15'000) {
      source_.Add({{"__name__", "m"}, {"a", "1"}}, t, 1);
      source_.Add({{"__name__", "m"}, {"a", "2"}}, t, 2);
    }
  }

  Explanation Run(std::string_view query, ExplainMode mode) {
    QueryParameters parameters;
    parameters.start_ms = 300'000;
    parameters.end_ms = 600'000;
    parameters.step_ms = 60'000;
    parameters.explain = mode;
    QueryContext context;
    auto result = Engine({}).Run(context, source_, query, parameters);
    EXPECT_TRUE(result.ok()) << result.status();
    samples_ = context.samples();
    if (!result.ok() || result->explanation == nullptr) return {};
    return *result->explanation;
  }

  MapSource source_;
  int64_t samples_ = 0;
};

TEST_F(ExplainTest, APlanReadsNothing) {
  const Explanation e =
      Run("sum by (a) (rate(m[5m] offset 1m)) / 2", ExplainMode::kPlan);
  EXPECT_EQ(samples_, 0);
  EXPECT_EQ(e.op, "binary");
  EXPECT_FALSE(e.cost.has_value());
  ASSERT_EQ(e.inputs.size(), 2u);
  const Explanation& sum = e.inputs[0];
  EXPECT_EQ(sum.op, "aggregation");
  EXPECT_EQ(sum.text, "sum by (a) (rate(m[5m] offset 1m))");
  ASSERT_EQ(sum.inputs.size(), 1u);
  EXPECT_EQ(sum.inputs[0].op, "range function");
  const Explanation& selector = sum.inputs[0].inputs.at(0);
  EXPECT_EQ(selector.op, "range selector");
  EXPECT_EQ(selector.details,
            (std::vector<std::string>{"offset=60000ms", "range=300000ms"}));
}

TEST_F(ExplainTest, AnAnalysisSaysWhatEachOperatorTook) {
  const Explanation e = Run("sum(rate(m[5m]))", ExplainMode::kAnalyze);
  EXPECT_GT(samples_, 0);
  ASSERT_TRUE(e.cost.has_value());
  const Explanation& rate = e.inputs.at(0);
  ASSERT_TRUE(rate.cost.has_value());
  EXPECT_EQ(e.cost->series, 1);
  EXPECT_EQ(rate.cost->series, 2);
  EXPECT_EQ(e.cost->samples, samples_);
  EXPECT_EQ(rate.cost->samples, samples_);
  EXPECT_GE(e.cost->time_ns, rate.cost->time_ns);
  EXPECT_GT(rate.cost->time_ns, 0);
  // Read by the function itself.
  EXPECT_FALSE(rate.inputs.at(0).cost.has_value());
}

}  // namespace
}  // namespace varve::promql
