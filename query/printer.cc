#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "query/ast.h"
#include "query/parser.h"
#include "query/parser_impl.h"
#include "query/text.h"
#include "storage/labels.h"

// The canonical text of an expression, letter for letter Prometheus's.

namespace varve::promql {
namespace {

void Print(const Expr& expr, std::string* out);

std::string Seconds(double seconds, bool duration) {
  return duration ? FormatDuration(DurationMs(seconds)) : FormatFixed(seconds);
}

void PrintLabels(const std::vector<std::string>& labels, std::string* out) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (i > 0) *out += ", ";
    *out += IsLegacyLabelName(labels[i]) ? labels[i] : Quote(labels[i]);
  }
}

std::string_view OperatorOf(DurationExpr::Kind kind) {
  switch (kind) {
    case DurationExpr::Kind::kAdd:
      return "+";
    case DurationExpr::Kind::kSub:
      return "-";
    case DurationExpr::Kind::kMul:
      return "*";
    case DurationExpr::Kind::kDiv:
      return "/";
    case DurationExpr::Kind::kMod:
      return "%";
    default:
      return "^";
  }
}

void PrintDuration(const DurationExpr& expr, std::string* out) {
  using Kind = DurationExpr::Kind;
  if (expr.wrapped) *out += '(';
  switch (expr.kind) {
    case Kind::kLiteral:
      *out += Seconds(expr.value, expr.duration);
      break;
    case Kind::kStep:
      *out += "step()";
      break;
    case Kind::kRange:
      *out += "range()";
      break;
    case Kind::kMinOf:
    case Kind::kMaxOf:
      *out += expr.kind == Kind::kMinOf ? "min_of(" : "max_of(";
      PrintDuration(*expr.lhs, out);
      *out += ", ";
      PrintDuration(*expr.rhs, out);
      *out += ')';
      break;
    case Kind::kNegate:
      *out += '-';
      PrintDuration(*expr.rhs, out);
      break;
    default:
      PrintDuration(*expr.lhs, out);
      *out += fmt::format(" {} ", OperatorOf(expr.kind));
      PrintDuration(*expr.rhs, out);
      break;
  }
  if (expr.wrapped) *out += ')';
}

/// A duration in brackets: the expression if there is one.
void PrintSpan(int64_t ms, const DurationExpr* expr, std::string* out) {
  if (expr != nullptr) {
    PrintDuration(*expr, out);
  } else {
    *out += FormatDuration(ms);
  }
}

void PrintAt(const TimeShift& shift, std::string* out) {
  switch (shift.anchor) {
    case AtAnchor::kNone:
      break;
    case AtAnchor::kTimestamp:
      *out += fmt::format(" @ {:.3f}", static_cast<double>(shift.at_ms) / 1000);
      break;
    case AtAnchor::kStart:
      *out += " @ start()";
      break;
    case AtAnchor::kEnd:
      *out += " @ end()";
      break;
  }
}

void PrintOffset(const TimeShift& shift, std::string* out) {
  if (shift.offset_expr == nullptr && shift.offset_ms == 0) return;
  *out += " offset ";
  PrintSpan(shift.offset_ms, shift.offset_expr.get(), out);
}

void PrintExtension(const VectorSelector& selector, std::string* out) {
  if (selector.anchored) {
    *out += " anchored";
  } else if (selector.smoothed) {
    *out += " smoothed";
  }
}

/// Name and matchers, without what may follow.
void PrintMatchers(const VectorSelector& selector, std::string* out) {
  std::vector<std::string> texts;
  for (const Matcher& matcher : selector.matchers) {
    const bool name =
        matcher.name() == kMetricName && matcher.type() == MatchType::kEqual &&
        matcher.value() == selector.name && !selector.name.empty();
    if (!name) texts.push_back(matcher.ToString());
  }
  *out += selector.name;
  if (texts.empty()) {
    if (selector.name.empty()) *out += "{}";
    return;
  }
  std::sort(texts.begin(), texts.end());
  *out += fmt::format("{{{}}}", fmt::join(texts, ","));
}

void PrintVectorSelector(const VectorSelector& selector, std::string* out) {
  PrintMatchers(selector, out);
  PrintAt(selector.shift, out);
  PrintExtension(selector, out);
  PrintOffset(selector.shift, out);
}

void PrintMatrixSelector(const MatrixSelector& matrix, std::string* out) {
  PrintMatchers(*matrix.selector, out);
  *out += '[';
  PrintSpan(matrix.range_ms, matrix.range_expr.get(), out);
  *out += ']';
  PrintExtension(*matrix.selector, out);
  PrintAt(matrix.selector->shift, out);
  PrintOffset(matrix.selector->shift, out);
}

void PrintSubquery(const SubqueryExpr& subquery, std::string* out) {
  Print(*subquery.expr, out);
  *out += '[';
  PrintSpan(subquery.range_ms, subquery.range_expr.get(), out);
  *out += ':';
  if (subquery.step_ms != 0 || subquery.step_expr != nullptr) {
    PrintSpan(subquery.step_ms, subquery.step_expr.get(), out);
  }
  *out += ']';
  PrintAt(subquery.shift, out);
  PrintOffset(subquery.shift, out);
}

void PrintAggregate(const AggregateExpr& aggregate, std::string* out) {
  *out += ToString(aggregate.op);
  if (aggregate.without || !aggregate.grouping.empty()) {
    *out += aggregate.without ? " without (" : " by (";
    PrintLabels(aggregate.grouping, out);
    *out += ") ";
  }
  *out += '(';
  if (aggregate.parameter != nullptr) {
    Print(*aggregate.parameter, out);
    *out += ", ";
  }
  Print(*aggregate.expr, out);
  *out += ')';
}

void PrintFill(const VectorMatching& matching, std::string* out) {
  const auto& lhs = matching.fill_lhs;
  const auto& rhs = matching.fill_rhs;
  if (lhs && rhs && *lhs == *rhs) {
    *out += fmt::format(" fill ({})", FormatGeneral(*lhs));
    return;
  }
  if (lhs) *out += fmt::format(" fill_left ({})", FormatGeneral(*lhs));
  if (rhs) *out += fmt::format(" fill_right ({})", FormatGeneral(*rhs));
}

void PrintMatching(const VectorMatching& matching, std::string* out) {
  const bool grouped = matching.card == Cardinality::kManyToOne ||
                       matching.card == Cardinality::kOneToMany;
  if (!matching.labels.empty() || matching.on || grouped) {
    *out += matching.on ? " on (" : " ignoring (";
    PrintLabels(matching.labels, out);
    *out += ')';
  }
  if (grouped) {
    *out += matching.card == Cardinality::kManyToOne ? " group_left ("
                                                     : " group_right (";
    PrintLabels(matching.include, out);
    *out += ')';
  }
  PrintFill(matching, out);
}

void PrintBinary(const BinaryExpr& binary, std::string* out) {
  Print(*binary.lhs, out);
  *out += fmt::format(" {}", ToString(binary.op));
  if (binary.return_bool) *out += " bool";
  if (binary.matching) PrintMatching(*binary.matching, out);
  *out += ' ';
  Print(*binary.rhs, out);
}

void PrintCall(const Call& call, std::string* out) {
  *out += call.function->name;
  *out += '(';
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    if (i > 0) *out += ", ";
    Print(*call.arguments[i], out);
  }
  *out += ')';
}

void Print(const Expr& expr, std::string* out) {
  switch (expr.kind) {
    case ExprKind::kNumber: {
      const auto& number = As<NumberLiteral>(expr);
      *out += Seconds(number.value, number.duration);
      break;
    }
    case ExprKind::kString:
      *out += Quote(As<StringLiteral>(expr).value);
      break;
    case ExprKind::kVectorSelector:
      PrintVectorSelector(As<VectorSelector>(expr), out);
      break;
    case ExprKind::kMatrixSelector:
      PrintMatrixSelector(As<MatrixSelector>(expr), out);
      break;
    case ExprKind::kSubquery:
      PrintSubquery(As<SubqueryExpr>(expr), out);
      break;
    case ExprKind::kCall:
      PrintCall(As<Call>(expr), out);
      break;
    case ExprKind::kAggregate:
      PrintAggregate(As<AggregateExpr>(expr), out);
      break;
    case ExprKind::kBinary:
      PrintBinary(As<BinaryExpr>(expr), out);
      break;
    case ExprKind::kUnary:
      *out += As<UnaryExpr>(expr).negative ? '-' : '+';
      Print(*As<UnaryExpr>(expr).expr, out);
      break;
    case ExprKind::kParen:
      *out += '(';
      Print(*As<ParenExpr>(expr).expr, out);
      *out += ')';
      break;
  }
}

}  // namespace

std::string ToString(const Expr& expr) {
  std::string out;
  Print(expr, &out);
  return out;
}

}  // namespace varve::promql
