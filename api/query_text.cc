// The parts of the library's face that only look at query texts.

#include "api/query_text.h"

#include "query/parser.h"

namespace varve {
namespace {

using namespace promql;  // NOLINT: a walk over all of its node types

void CollectSelectors(const Expr& expr,
                      std::vector<std::vector<Matcher>>* out) {
  switch (expr.kind) {
    case ExprKind::kNumber:
    case ExprKind::kString:
      return;
    case ExprKind::kVectorSelector:
      out->push_back(As<VectorSelector>(expr).matchers);
      return;
    case ExprKind::kMatrixSelector:
      out->push_back(As<MatrixSelector>(expr).selector->matchers);
      return;
    case ExprKind::kSubquery:
      return CollectSelectors(*As<SubqueryExpr>(expr).expr, out);
    case ExprKind::kCall:
      for (const ExprPtr& argument : As<Call>(expr).arguments) {
        CollectSelectors(*argument, out);
      }
      return;
    case ExprKind::kAggregate: {
      const auto& aggregate = As<AggregateExpr>(expr);
      if (aggregate.parameter) CollectSelectors(*aggregate.parameter, out);
      return CollectSelectors(*aggregate.expr, out);
    }
    case ExprKind::kBinary:
      CollectSelectors(*As<BinaryExpr>(expr).lhs, out);
      return CollectSelectors(*As<BinaryExpr>(expr).rhs, out);
    case ExprKind::kUnary:
      return CollectSelectors(*As<UnaryExpr>(expr).expr, out);
    case ExprKind::kParen:
      return CollectSelectors(*As<ParenExpr>(expr).expr, out);
  }
}

}  // namespace

absl::StatusOr<std::vector<std::vector<Matcher>>> SelectorsOf(
    std::string_view query) {
  VARVE_ASSIGN_OR_RETURN(const ExprPtr expr, ParseExpr(query));
  std::vector<std::vector<Matcher>> selectors;
  CollectSelectors(*expr, &selectors);
  return selectors;
}

absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text) {
  return ParseMetricSelector(text);
}

absl::StatusOr<std::string> FormatQuery(std::string_view query) {
  VARVE_ASSIGN_OR_RETURN(const ExprPtr expr, ParseExpr(query));
  return ToString(*expr);
}

}  // namespace varve
