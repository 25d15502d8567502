#include "query/ast.h"

#include "storage/check.h"

namespace varve::promql {

std::string_view DocumentedType(ValueType type) {
  switch (type) {
    case ValueType::kNone:
      return "none";
    case ValueType::kScalar:
      return "scalar";
    case ValueType::kVector:
      return "instant vector";
    case ValueType::kMatrix:
      return "range vector";
    case ValueType::kString:
      return "string";
  }
  return "none";
}

std::string_view ToString(BinaryOp op) {
  static constexpr std::string_view kNames[] = {
      "+", "-", "*",  "/",  "%",   "^",  "atan2",  "==", "!=",
      ">", "<", ">=", "<=", "and", "or", "unless", "</", ">/"};
  return kNames[static_cast<size_t>(op)];
}

std::string_view ToString(AggregateOp op) {
  static constexpr std::string_view kNames[] = {
      "sum",      "avg",          "count",  "min",        "max",
      "group",    "stddev",       "stdvar", "topk",       "bottomk",
      "quantile", "count_values", "limitk", "limit_ratio"};
  return kNames[static_cast<size_t>(op)];
}

ValueType TypeOf(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kNumber:
      return ValueType::kScalar;
    case ExprKind::kString:
      return ValueType::kString;
    case ExprKind::kVectorSelector:
      return ValueType::kVector;
    case ExprKind::kMatrixSelector:
      return ValueType::kMatrix;
    case ExprKind::kSubquery:
      return ValueType::kMatrix;
    case ExprKind::kCall:
      return As<Call>(expr).function->result;
    case ExprKind::kAggregate:
      return ValueType::kVector;
    case ExprKind::kBinary: {
      const auto& binary = As<BinaryExpr>(expr);
      const bool scalars = TypeOf(*binary.lhs) == ValueType::kScalar &&
                           TypeOf(*binary.rhs) == ValueType::kScalar;
      return scalars ? ValueType::kScalar : ValueType::kVector;
    }
    case ExprKind::kUnary:
      return TypeOf(*As<UnaryExpr>(expr).expr);
    case ExprKind::kParen:
      return TypeOf(*As<ParenExpr>(expr).expr);
  }
  VARVE_CHECK(false);
}

}  // namespace varve::promql
