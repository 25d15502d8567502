#include <algorithm>

#include "query/parser_impl.h"
#include "query/text.h"
#include "storage/labels.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

bool IsScalarOrVector(ValueType type) {
  return type == ValueType::kScalar || type == ValueType::kVector;
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// One pass over a tree, children first where Prometheus does so: the first
/// error found is the one reported.
class TypeChecker {
 public:
  explicit TypeChecker(std::string_view text) : text_(text) {}

  absl::StatusOr<ValueType> Check(Expr* expr);

 private:
  absl::Status Error(const Expr& expr, std::string_view what) const {
    return ParseError(text_, expr.position.start, what);
  }
  absl::Status Expect(Expr* expr, ValueType want, std::string_view context);
  absl::Status CheckAggregate(AggregateExpr* aggregate);
  absl::StatusOr<ValueType> CheckBinary(BinaryExpr* binary);
  absl::Status CheckOperator(const BinaryExpr& binary, ValueType lhs,
                             ValueType rhs) const;
  absl::Status CheckScalarOperand(const BinaryExpr& binary) const;
  absl::Status CheckSetOperator(const BinaryExpr& binary) const;
  absl::Status CheckCall(Call* call);
  absl::Status CheckArgumentCount(const Call& call) const;
  absl::Status CheckInfoSelector(const Call& call) const;
  absl::Status CheckUnary(UnaryExpr* unary);
  absl::Status CheckSelector(const VectorSelector& selector) const;
  int32_t OperatorPosition(const BinaryExpr& binary) const;

  const std::string_view text_;
  /// The selector that is the second argument of info(): it may match all.
  const Expr* info_selector_ = nullptr;
};

absl::StatusOr<ValueType> TypeChecker::Check(Expr* expr) {
  switch (expr->kind) {
    case ExprKind::kNumber:
      return ValueType::kScalar;
    case ExprKind::kString:
      return ValueType::kString;
    case ExprKind::kVectorSelector:
      VARVE_RETURN_IF_ERROR(CheckSelector(As<VectorSelector>(*expr)));
      return ValueType::kVector;
    case ExprKind::kMatrixSelector:
      VARVE_RETURN_IF_ERROR(CheckSelector(*As<MatrixSelector>(*expr).selector));
      return ValueType::kMatrix;
    case ExprKind::kSubquery: {
      VARVE_ASSIGN_OR_RETURN(const ValueType type,
                             Check(As<SubqueryExpr>(*expr).expr.get()));
      if (type == ValueType::kVector) return ValueType::kMatrix;
      static constexpr std::string_view kNames[] = {"none", "scalar", "vector",
                                                    "matrix", "string"};
      return Error(*expr,
                   fmt::format("subquery is only allowed on instant vector, "
                               "got {} instead",
                               kNames[static_cast<size_t>(type)]));
    }
    case ExprKind::kCall:
      VARVE_RETURN_IF_ERROR(CheckCall(&As<Call>(*expr)));
      return As<Call>(*expr).function->result;
    case ExprKind::kAggregate:
      VARVE_RETURN_IF_ERROR(CheckAggregate(&As<AggregateExpr>(*expr)));
      return ValueType::kVector;
    case ExprKind::kBinary:
      return CheckBinary(&As<BinaryExpr>(*expr));
    case ExprKind::kUnary:
      VARVE_RETURN_IF_ERROR(CheckUnary(&As<UnaryExpr>(*expr)));
      return TypeOf(*expr);
    case ExprKind::kParen:
      return Check(As<ParenExpr>(*expr).expr.get());
  }
  return Internal("expression of unknown kind");
}

absl::Status TypeChecker::Expect(Expr* expr, ValueType want,
                                 std::string_view context) {
  VARVE_ASSIGN_OR_RETURN(const ValueType type, Check(expr));
  if (type == want) return absl::OkStatus();
  return Error(
      *expr, fmt::format("expected type {} in {}, got {}", DocumentedType(want),
                         context, DocumentedType(type)));
}

absl::Status TypeChecker::CheckAggregate(AggregateExpr* aggregate) {
  VARVE_RETURN_IF_ERROR(Expect(aggregate->expr.get(), ValueType::kVector,
                               "aggregation expression"));
  if (aggregate->parameter == nullptr) return absl::OkStatus();
  const bool string = aggregate->op == AggregateOp::kCountValues;
  return Expect(aggregate->parameter.get(),
                string ? ValueType::kString : ValueType::kScalar,
                "aggregation parameter");
}

// The first byte behind the left side that is no white space.
int32_t TypeChecker::OperatorPosition(const BinaryExpr& binary) const {
  int32_t at = binary.lhs->position.end;
  while (static_cast<size_t>(at) < text_.size() && IsSpace(text_[at])) ++at;
  return at;
}

absl::Status TypeChecker::CheckOperator(const BinaryExpr& binary, ValueType lhs,
                                        ValueType rhs) const {
  const auto error = [&](std::string_view what) {
    return ParseError(text_, OperatorPosition(binary), what);
  };
  if (binary.return_bool && !IsComparison(binary.op)) {
    return error("bool modifier can only be used on comparison operators");
  }
  if (IsComparison(binary.op) && !binary.return_bool &&
      lhs == ValueType::kScalar && rhs == ValueType::kScalar) {
    return error("comparisons between scalars must use BOOL modifier");
  }
  const VectorMatching& matching = *binary.matching;
  if (!matching.on) return absl::OkStatus();
  for (const std::string& label : matching.labels) {
    if (std::find(matching.include.begin(), matching.include.end(), label) !=
        matching.include.end()) {
      return error(
          fmt::format("label {} must not occur in ON and GROUP clause at once",
                      Quote(label)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ValueType> TypeChecker::CheckBinary(BinaryExpr* binary) {
  VARVE_ASSIGN_OR_RETURN(const ValueType lhs, Check(binary->lhs.get()));
  VARVE_ASSIGN_OR_RETURN(const ValueType rhs, Check(binary->rhs.get()));
  VARVE_RETURN_IF_ERROR(CheckOperator(*binary, lhs, rhs));
  if (IsSetOperator(binary->op) &&
      binary->matching->card == Cardinality::kOneToOne) {
    binary->matching->card = Cardinality::kManyToMany;
  }
  static constexpr std::string_view kTypes =
      "binary expression must contain only scalar and instant vector types";
  if (!IsScalarOrVector(lhs)) return Error(*binary->lhs, kTypes);
  if (!IsScalarOrVector(rhs)) return Error(*binary->rhs, kTypes);
  const bool vectors = lhs == ValueType::kVector && rhs == ValueType::kVector;
  if (!vectors) {
    VARVE_RETURN_IF_ERROR(CheckScalarOperand(*binary));
    binary->matching.reset();
  } else if (IsSetOperator(binary->op)) {
    VARVE_RETURN_IF_ERROR(CheckSetOperator(*binary));
  }
  const bool scalars = lhs == ValueType::kScalar && rhs == ValueType::kScalar;
  return scalars ? ValueType::kScalar : ValueType::kVector;
}

absl::Status TypeChecker::CheckScalarOperand(const BinaryExpr& binary) const {
  const VectorMatching& matching = *binary.matching;
  if (!matching.labels.empty()) {
    return Error(binary,
                 "vector matching only allowed between instant vectors");
  }
  if (matching.fill_lhs || matching.fill_rhs) {
    return Error(
        binary,
        "filling in missing series only allowed between instant vectors");
  }
  if (!IsSetOperator(binary.op)) return absl::OkStatus();
  return Error(binary, fmt::format("set operator {} not allowed in binary "
                                   "scalar expression",
                                   Quote(ToString(binary.op))));
}

absl::Status TypeChecker::CheckSetOperator(const BinaryExpr& binary) const {
  const VectorMatching& matching = *binary.matching;
  if (matching.card != Cardinality::kManyToMany) {
    return Error(binary, fmt::format("no grouping allowed for {} operation",
                                     Quote(ToString(binary.op))));
  }
  if (matching.fill_lhs || matching.fill_rhs) {
    return Error(binary,
                 "filling in missing series not allowed for set operators");
  }
  return absl::OkStatus();
}

absl::Status TypeChecker::CheckArgumentCount(const Call& call) const {
  const FunctionSignature& function = *call.function;
  const size_t count = call.arguments.size();
  const size_t declared = function.arguments.size();
  const auto error = [&](std::string_view how, size_t want) {
    return Error(call, fmt::format("expected {}{} argument(s) in call to {}, "
                                   "got {}",
                                   how, want, Quote(function.name), count));
  };
  if (function.variadic == 0) {
    return count == declared ? absl::OkStatus() : error("", declared);
  }
  const size_t least = declared - 1;
  if (count < least) return error("at least ", least);
  const size_t most = least + std::max(function.variadic, 0);
  if (function.variadic > 0 && count > most) return error("at most ", most);
  return absl::OkStatus();
}

absl::Status TypeChecker::CheckInfoSelector(const Call& call) const {
  const Expr& selector = *call.arguments[1];
  if (TypeOf(selector) != ValueType::kVector) {
    return Error(call,
                 fmt::format("expected type instant vector in call to function "
                             "\"info\", got {}",
                             DocumentedType(TypeOf(selector))));
  }
  if (selector.kind != ExprKind::kVectorSelector) {
    return Error(selector, "expected label selectors only");
  }
  if (As<VectorSelector>(selector).name.empty()) return absl::OkStatus();
  return Error(selector,
               "expected label selectors only, got vector selector instead");
}

absl::Status TypeChecker::CheckCall(Call* call) {
  VARVE_RETURN_IF_ERROR(CheckArgumentCount(*call));
  const FunctionSignature& function = *call->function;
  if (function.name == "info" && call->arguments.size() > 1) {
    VARVE_RETURN_IF_ERROR(CheckInfoSelector(*call));
    info_selector_ = call->arguments[1].get();
  }
  for (size_t i = 0; i < call->arguments.size(); ++i) {
    Expr* argument = call->arguments[i].get();
    const ValueType want =
        function.arguments[std::min(i, function.arguments.size() - 1)];
    VARVE_ASSIGN_OR_RETURN(const ValueType type, Check(argument));
    if (type != want) {
      return Error(*argument,
                   fmt::format("expected type {} in call to function {}, "
                               "got {}",
                               DocumentedType(want), Quote(function.name),
                               DocumentedType(type)));
    }
  }
  return absl::OkStatus();
}

absl::Status TypeChecker::CheckUnary(UnaryExpr* unary) {
  VARVE_ASSIGN_OR_RETURN(const ValueType type, Check(unary->expr.get()));
  if (IsScalarOrVector(type)) return absl::OkStatus();
  return Error(*unary,
               fmt::format("unary expression only allowed on expressions of "
                           "type scalar or instant vector, got {}",
                           Quote(DocumentedType(type))));
}

absl::Status TypeChecker::CheckSelector(const VectorSelector& selector) const {
  const auto& matchers = selector.matchers;
  if (!selector.name.empty()) {
    // The matcher of the name before the braces is the last one.
    for (size_t i = 0; i + 1 < matchers.size(); ++i) {
      if (matchers[i].name() != kMetricName) continue;
      return Error(
          selector,
          fmt::format("metric name must not be set twice: {} or {}",
                      Quote(selector.name), Quote(matchers[i].value())));
    }
    return absl::OkStatus();
  }
  if (&selector == info_selector_) return absl::OkStatus();
  for (const Matcher& matcher : matchers) {
    if (!matcher.MatchesEmpty()) return absl::OkStatus();
  }
  return Error(selector,
               "vector selector must contain at least one non-empty matcher");
}

}  // namespace

absl::Status CheckTypes(std::string_view text, Expr* expr) {
  return TypeChecker(text).Check(expr).status();
}

}  // namespace varve::promql
