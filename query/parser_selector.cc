#include <cmath>
#include <utility>

#include "query/parser_impl.h"
#include "query/text.h"
#include "storage/labels.h"
#include "storage/status_macros.h"

// Selectors and what may follow them: ranges, subqueries, `offset`, `@`,
// `anchored`, `smoothed`.

namespace varve::promql {
namespace {

constexpr std::string_view kDurationExpected =
    "number, duration, step(), or range()";

bool IsMatchOperator(Token token) {
  return token == Token::kEqual || token == Token::kNeq ||
         token == Token::kRegex || token == Token::kNotRegex;
}

MatchType MatchTypeOf(Token token) {
  switch (token) {
    case Token::kNeq:
      return MatchType::kNotEqual;
    case Token::kRegex:
      return MatchType::kRegex;
    case Token::kNotRegex:
      return MatchType::kNotRegex;
    default:
      return MatchType::kEqual;
  }
}

/// The time shift of a selector or subquery; nullptr if it can have none.
TimeShift* ShiftOf(Expr* expr) {
  switch (expr->kind) {
    case ExprKind::kVectorSelector:
      return &As<VectorSelector>(*expr).shift;
    case ExprKind::kMatrixSelector:
      return &As<MatrixSelector>(*expr).selector->shift;
    case ExprKind::kSubquery:
      return &As<SubqueryExpr>(*expr).shift;
    default:
      return nullptr;
  }
}

bool HasOffset(const TimeShift& shift) {
  return shift.offset_ms != 0 || shift.offset_expr != nullptr;
}

/// The milliseconds of a literal, or the expression to be computed later.
void SetDuration(ParsedDuration duration, int64_t* ms,
                 std::unique_ptr<DurationExpr>* expr) {
  if (duration.expr->kind == DurationExpr::Kind::kLiteral) {
    *ms = DurationMs(duration.expr->value);
  } else {
    *expr = std::move(duration.expr);
  }
}

}  // namespace

bool CanBeMetricName(Token token) {
  switch (token) {
    case Token::kIdentifier:
    case Token::kMetricIdentifier:
    case Token::kAnd:
    case Token::kOr:
    case Token::kUnless:
    case Token::kBy:
    case Token::kWithout:
    case Token::kOffset:
    case Token::kAnchored:
    case Token::kSmoothed:
      return true;
    default:
      return IsAggregator(token) || token >= Token::kStart;
  }
}

absl::StatusOr<std::unique_ptr<VectorSelector>> Parser::ParseVectorSelector(
    const Lexeme& name) {
  auto selector = std::make_unique<VectorSelector>();
  selector->position = {name.start, name.end()};
  if (Peek().token == Token::kLeftBrace) {
    VARVE_ASSIGN_OR_RETURN(selector, ParseBraces());
    selector->position.start = name.start;
  }
  selector->name = name.text;
  VARVE_ASSIGN_OR_RETURN(
      Matcher matcher,
      Matcher::Create(MatchType::kEqual, std::string(kMetricName),
                      selector->name));
  selector->matchers.push_back(std::move(matcher));
  return selector;
}

// REQUIRES: the next token is `{`.
absl::StatusOr<std::unique_ptr<VectorSelector>> Parser::ParseBraces() {
  auto selector = std::make_unique<VectorSelector>();
  selector->position.start = Take().start;
  VARVE_RETURN_IF_ERROR(ParseMatchers(&selector->matchers));
  selector->position.end = last_end_;
  return selector;
}

// Up to and with the closing brace.
absl::Status Parser::ParseMatchers(std::vector<Matcher>* matchers) {
  while (Peek().token != Token::kRightBrace) {
    VARVE_ASSIGN_OR_RETURN(Matcher matcher, ParseMatcher());
    matchers->push_back(std::move(matcher));
    if (Peek().token == Token::kRightBrace) break;
    if (Peek().token != Token::kComma) {
      return Unexpected("label matching", "\",\" or \"}\"");
    }
    Take();
  }
  Take();
  return absl::OkStatus();
}

absl::StatusOr<Matcher> Parser::ParseMatcher() {
  const Token token = Peek().token;
  if (token != Token::kIdentifier && token != Token::kString) {
    return Unexpected("label matching", "identifier or \"}\"");
  }
  const Lexeme label = Take();
  const bool quoted = token == Token::kString;
  std::string name = quoted ? Unquote(label.text) : std::string(label.text);
  if (!IsMatchOperator(Peek().token)) {
    if (!quoted) {
      return Unexpected("label matching", "label matching operator");
    }
    // A string alone is the metric's name.
    return Matcher::Create(MatchType::kEqual, std::string(kMetricName),
                           std::move(name));
  }
  const MatchType type = MatchTypeOf(Take().token);
  if (Peek().token != Token::kString) {
    return Unexpected("label matching", "string");
  }
  auto matcher = Matcher::Create(type, std::move(name), Unquote(Take().text));
  if (!matcher.ok()) return Error(label.start, Message(matcher.status()));
  return matcher;
}

absl::StatusOr<ParsedExpr> Parser::ParsePostfix(ParsedExpr operand) {
  for (;;) {
    switch (Peek().token) {
      case Token::kLeftBracket: {
        VARVE_ASSIGN_OR_RETURN(operand, ParseBracket(std::move(operand)));
        break;
      }
      case Token::kOffset:
        VARVE_RETURN_IF_ERROR(ParseOffset(operand.expr.get()));
        break;
      case Token::kAt:
        VARVE_RETURN_IF_ERROR(ParseAt(operand.expr.get()));
        break;
      case Token::kAnchored:
      case Token::kSmoothed:
        VARVE_RETURN_IF_ERROR(ParseExtension(operand.expr.get(),
                                             Take().token == Token::kAnchored));
        break;
      default:
        return operand;
    }
  }
}

// `[range]`, `[range:]` or `[range:step]`.
absl::StatusOr<ParsedExpr> Parser::ParseBracket(ParsedExpr operand) {
  const Lexeme bracket = Take();
  ParsedDuration range;
  {
    const ContextScope scope(this,
                             {"subquery or range selector", kDurationExpected});
    VARVE_ASSIGN_OR_RETURN(range, ParsePositiveDuration());
  }
  if (Peek().token == Token::kRightBracket) {
    return MakeMatrix(std::move(operand), bracket, std::move(range));
  }
  if (Peek().token != Token::kColon) {
    return Unexpected("subquery or range", "\":\" or \"]\"");
  }
  Take();
  auto subquery = std::make_unique<SubqueryExpr>();
  int height = std::max(operand.height, range.height);
  SetDuration(std::move(range), &subquery->range_ms, &subquery->range_expr);
  if (Peek().token != Token::kRightBracket) {
    const ContextScope scope(
        this,
        {"subquery selector", "number, duration, step(), range(), or \"]\""});
    VARVE_ASSIGN_OR_RETURN(ParsedDuration step, ParsePositiveDuration());
    height = std::max(height, step.height);
    SetDuration(std::move(step), &subquery->step_ms, &subquery->step_expr);
    if (Peek().token != Token::kRightBracket) {
      return Unexpected("subquery selector", "\"]\"");
    }
  }
  subquery->position = {operand.expr->position.start, Take().end()};
  subquery->expr = std::move(operand.expr);
  VARVE_RETURN_IF_ERROR(CheckHeight(height + 1, bracket.start));
  return ParsedExpr{std::move(subquery), height + 1};
}

absl::StatusOr<ParsedExpr> Parser::MakeMatrix(ParsedExpr operand,
                                              const Lexeme& bracket,
                                              ParsedDuration range) {
  const Lexeme close = Take();
  if (operand.expr->kind != ExprKind::kVectorSelector) {
    return Error(bracket.start, "ranges only allowed for vector selectors");
  }
  auto matrix = std::make_unique<MatrixSelector>();
  matrix->position = {operand.expr->position.start, close.end()};
  matrix->selector.reset(static_cast<VectorSelector*>(operand.expr.release()));
  const TimeShift& shift = matrix->selector->shift;
  // Prometheus lets `@ start()` and computed offsets pass here; so do we.
  if (shift.offset_ms != 0) {
    return Error(bracket.start, "no offset modifiers allowed before range");
  }
  if (shift.anchor == AtAnchor::kTimestamp) {
    return Error(bracket.start, "no @ modifiers allowed before range");
  }
  const int height = 1 + std::max(operand.height, range.height);
  SetDuration(std::move(range), &matrix->range_ms, &matrix->range_expr);
  return ParsedExpr{std::move(matrix), height};
}

absl::Status Parser::ParseOffset(Expr* expr) {
  Take();
  ParsedDuration offset;
  {
    const ContextScope scope(this, {"offset", kDurationExpected});
    VARVE_ASSIGN_OR_RETURN(offset, ParseOffsetDuration());
  }
  TimeShift* shift = ShiftOf(expr);
  if (shift == nullptr) {
    return Error(expr->position.start,
                 "offset modifier must be preceded by an instant vector "
                 "selector or range vector selector or a subquery");
  }
  if (HasOffset(*shift)) {
    return Error(expr->position.start, "offset may not be set multiple times");
  }
  SetDuration(std::move(offset), &shift->offset_ms, &shift->offset_expr);
  expr->position.end = last_end_;
  return absl::OkStatus();
}

absl::Status Parser::ParseAt(Expr* expr) {
  Take();
  const ContextScope scope(this, {"@", "timestamp"});
  const Token token = Peek().token;
  if (token == Token::kStart || token == Token::kEnd) {
    Take();
    VARVE_RETURN_IF_ERROR(Expect(Token::kLeftParen).status());
    VARVE_RETURN_IF_ERROR(Expect(Token::kRightParen).status());
  }
  double seconds = 0;
  if (token != Token::kStart && token != Token::kEnd) {
    bool negative = false;
    if (token == Token::kAdd || token == Token::kSub) {
      negative = Take().token == Token::kSub;
    }
    VARVE_ASSIGN_OR_RETURN(seconds, ParseNumberValue());
    if (negative) seconds = -seconds;
    VARVE_RETURN_IF_ERROR(SetTimestamp(expr, seconds));
  }
  TimeShift* shift = ShiftOf(expr);
  if (shift == nullptr) {
    return Error(expr->position.start,
                 "@ modifier must be preceded by an instant vector selector or "
                 "range vector selector or a subquery");
  }
  if (shift->anchor != AtAnchor::kNone) {
    return Error(expr->position.start,
                 "@ <timestamp> may not be set multiple times");
  }
  shift->anchor = token == Token::kStart ? AtAnchor::kStart
                  : token == Token::kEnd ? AtAnchor::kEnd
                                         : AtAnchor::kTimestamp;
  shift->at_ms = std::llround(seconds * 1000);
  expr->position.end = last_end_;
  return absl::OkStatus();
}

absl::Status Parser::SetTimestamp(Expr* expr, double seconds) {
  // In milliseconds it has to fit as well.
  if (std::abs(seconds) < 9.2e15) return absl::OkStatus();
  return Error(
      expr->position.start,
      std::isnan(seconds) || std::isinf(seconds)
          ? "timestamp out of bounds for @ modifier: " + FormatFixed(seconds)
          : fmt::format("timestamp out of bounds for @ modifier: {:.6f}",
                        seconds));
}

absl::Status Parser::ParseExtension(Expr* expr, bool anchored) {
  const std::string_view name = anchored ? "anchored" : "smoothed";
  VectorSelector* selector = nullptr;
  if (expr->kind == ExprKind::kVectorSelector) {
    selector = &As<VectorSelector>(*expr);
  } else if (expr->kind == ExprKind::kMatrixSelector) {
    selector = As<MatrixSelector>(*expr).selector.get();
  } else if (expr->kind == ExprKind::kSubquery) {
    return Error(
        expr->position.start,
        fmt::format("{} modifier is not supported for subqueries", name));
  } else {
    return Error(expr->position.start,
                 fmt::format("{} modifier not implemented", name));
  }
  (anchored ? selector->anchored : selector->smoothed) = true;
  if (selector->anchored && selector->smoothed) {
    return Error(expr->position.start,
                 "anchored and smoothed modifiers cannot be used together");
  }
  return absl::OkStatus();
}

}  // namespace varve::promql
