#include "query/plan.h"

#include <gtest/gtest.h>

#include "query/parser.h"

namespace varve::promql {
namespace {

std::unique_ptr<const Plan> PlanOf(std::string_view text,
                                   QueryParameters p = {0, 600'000, 60'000,
                                                        0}) {
  auto ast = ParseExpr(text);
  EXPECT_TRUE(ast.ok()) << ast.status();
  auto plan = MakePlan(*std::move(ast), text, p, EngineOptions{});
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

TEST(PlanTest, MarksInvariantPartsAsHighAsPossible) {
  EXPECT_EQ(PlanOf("sum(rate(m[5m] @ 60)) + 1")->root->kind,
            PlanKind::kInvariant);
  const auto half = PlanOf("sum(m @ 60) + m");
  EXPECT_EQ(half->root->kind, PlanKind::kBinary);
  EXPECT_EQ(half->root->inputs[0]->kind, PlanKind::kInvariant);
  EXPECT_EQ(half->root->inputs[1]->kind, PlanKind::kSelector);
  // A number is not worth it, and time stands still for nobody.
  EXPECT_EQ(PlanOf("m + 1")->root->inputs[1]->kind, PlanKind::kNumber);
  EXPECT_EQ(PlanOf("predict_linear(m[5m] @ 60, 1)")->root->kind,
            PlanKind::kRangeCall);
  EXPECT_EQ(PlanOf("timestamp(m @ 60)")->root->inputs[0]->kind,
            PlanKind::kSelector);
  EXPECT_EQ(PlanOf("time()")->root->kind, PlanKind::kFunction);
}

TEST(PlanTest, ResolvesTimes) {
  const auto plan = PlanOf("(((m @ end() offset 1m)))");
  const PlanNode& selector = *plan->root->inputs[0];
  EXPECT_TRUE(selector.anchor.fixed);
  EXPECT_EQ(selector.anchor.Resolve(123), 540'000);
  const auto range = PlanOf("rate(m[step() * 3] offset range())");
  EXPECT_EQ(range->root->inputs[0]->range_ms, 180'000);
  EXPECT_EQ(range->root->inputs[0]->anchor.Resolve(0), -600'000);
}

TEST(PlanTest, RefusesImpossibleDurations) {
  for (const char* text : {"rate(m[step() - 1m])", "rate(m[5m / 0])"}) {
    auto ast = ParseExpr(text);
    if (!ast.ok()) continue;  // the parser may know already
    EXPECT_EQ(
        MakePlan(*std::move(ast), text, {0, 0, 60'000, 0}, {}).status().code(),
        absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(PlanTest, InnerGridsAreAlignedToTheEpoch) {
  PlanNode subquery;
  subquery.range_ms = 30;
  subquery.inner_step_ms = 7;
  const auto inner = [&](int64_t at) {
    return InnerGrid(subquery, StepGrid{at, 1, 1});
  };
  EXPECT_EQ(inner(100), (StepGrid{77, 7, 4}));  // 70 is not inside (70, 100]
  EXPECT_EQ(inner(101), (StepGrid{77, 7, 4}));  // 77 84 91 98
  EXPECT_EQ(inner(-100), (StepGrid{-126, 7, 4}));
  EXPECT_EQ(inner(15), (StepGrid{-14, 7, 5}));
  subquery.inner_step_ms = 1000;
  EXPECT_EQ(inner(100).count, 0);
  subquery.anchor = {10, true, 1010};
  EXPECT_EQ(inner(5), (StepGrid{1000, 1000, 1}));
}

}  // namespace
}  // namespace varve::promql
