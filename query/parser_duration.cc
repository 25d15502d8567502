#include <algorithm>
#include <cmath>
#include <utility>

#include "query/parser_impl.h"
#include "storage/labels.h"
#include "storage/status_macros.h"

// Durations: their text form, and the arithmetic on them inside `[...]` and
// behind `offset`.

namespace varve::promql {
namespace {

using Kind = DurationExpr::Kind;

/// What fits Go's time.Duration, in seconds.
constexpr double kSecondsMax = 9223372036.854775807;

struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr Unit kUnits[] = {{"y", 365LL * 86400 * 1000},
                           {"w", 7LL * 86400 * 1000},
                           {"d", 86400 * 1000},
                           {"h", 3600 * 1000},
                           {"m", 60 * 1000},
                           {"s", 1000},
                           {"ms", 1}};
/// time.Duration counts nanoseconds.
constexpr int64_t kMsMax = INT64_MAX / 1000000;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsArithmetic(Token token) {
  return token >= Token::kAdd && token <= Token::kPow;
}

Kind KindOf(Token token) {
  switch (token) {
    case Token::kAdd:
      return Kind::kAdd;
    case Token::kSub:
      return Kind::kSub;
    case Token::kMul:
      return Kind::kMul;
    case Token::kDiv:
      return Kind::kDiv;
    case Token::kMod:
      return Kind::kMod;
    default:
      return Kind::kPow;
  }
}

bool IsLiteral(const ParsedDuration& duration) {
  return duration.expr->kind == Kind::kLiteral;
}

bool IsZero(const ParsedDuration& duration) {
  return IsLiteral(duration) && duration.expr->value == 0;
}

}  // namespace

absl::StatusOr<int64_t> ParseDuration(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return InvalidArgument("empty duration string");
  const auto invalid = [&] {
    return InvalidArgument("not a valid duration string: {}", Quote(text));
  };
  int64_t total = 0;
  const Unit* unit_min = std::begin(kUnits);  // Units go from big to small.
  for (size_t at = 0; at < text.size();) {
    if (!IsDigit(text[at])) return invalid();
    int64_t value = 0;
    bool overflow = false;
    for (; at < text.size() && IsDigit(text[at]); ++at) {
      overflow = overflow || value > kMsMax;
      if (!overflow) value = value * 10 + (text[at] - '0');
    }
    const size_t begin = at;
    while (at < text.size() && !IsDigit(text[at])) ++at;
    const std::string_view name = text.substr(begin, at - begin);
    if (name.empty()) return invalid();
    const Unit* unit =
        std::find_if(std::begin(kUnits), std::end(kUnits),
                     [&](const Unit& u) { return u.name == name; });
    if (unit == std::end(kUnits)) {
      return InvalidArgument("unknown unit {} in duration string: {}",
                             Quote(name), Quote(text));
    }
    if (unit < unit_min) return invalid();
    unit_min = unit + 1;
    if (overflow || value > (kMsMax - total) / unit->ms) {
      return InvalidArgument("duration out of range");
    }
    total += value * unit->ms;
  }
  return total;
}

std::string FormatDuration(int64_t ms) {
  if (ms == 0) return "0s";
  std::string out = ms < 0 ? "-" : "";
  auto rest = ms < 0 ? -static_cast<uint64_t>(ms) : static_cast<uint64_t>(ms);
  for (const Unit& unit : kUnits) {
    const auto size = static_cast<uint64_t>(unit.ms);
    // Years and weeks only when nothing is left: 90d reads better than 12w6d.
    const bool exact = unit.name == "y" || unit.name == "w";
    if (exact && rest % size != 0) continue;
    if (rest / size > 0) out += fmt::format("{}{}", rest / size, unit.name);
    rest %= size;
  }
  return out;
}

int64_t DurationMs(double seconds) {
  const double ns = std::round(seconds * 1e9);
  return static_cast<int64_t>(std::trunc(ns / 1e6));
}

absl::StatusOr<ParsedDuration> Parser::ParsePositiveDuration() {
  VARVE_ASSIGN_OR_RETURN(ParsedDuration duration, ParseDurationBinary(1));
  if (Peek().token == Token::kError) return LexerError();
  if (IsLiteral(duration) && duration.expr->value <= 0) {
    return Error(duration.expr->position.start,
                 "duration must be greater than 0");
  }
  return duration;
}

absl::StatusOr<ParsedDuration> Parser::ParseDurationBinary(int precedence_min) {
  const DepthScope scope(this);
  VARVE_RETURN_IF_ERROR(CheckHeight(depth_, last_end_));
  VARVE_ASSIGN_OR_RETURN(ParsedDuration lhs, ParseDurationUnary());
  for (;;) {
    const int precedence = BinaryPrecedence(Peek().token);
    if (!IsArithmetic(Peek().token) || precedence < precedence_min) return lhs;
    const Lexeme op = Take();
    const bool right = op.token == Token::kPow;
    VARVE_ASSIGN_OR_RETURN(
        ParsedDuration rhs,
        ParseDurationBinary(right ? precedence : precedence + 1));
    if (IsZero(rhs)) {
      if (op.token == Token::kDiv) return Error(op.start, "division by zero");
      if (op.token == Token::kMod) return Error(op.start, "modulo by zero");
    }
    auto binary = std::make_unique<DurationExpr>();
    binary->kind = KindOf(op.token);
    binary->position = {lhs.expr->position.start, rhs.expr->position.end};
    binary->lhs = std::move(lhs.expr);
    binary->rhs = std::move(rhs.expr);
    const int height = 1 + std::max(lhs.height, rhs.height);
    VARVE_RETURN_IF_ERROR(CheckHeight(height, op.start));
    lhs = {std::move(binary), height};
  }
}

absl::StatusOr<ParsedDuration> Parser::ParseDurationUnary() {
  const Token token = Peek().token;
  if (token != Token::kAdd && token != Token::kSub) {
    return ParseDurationPrimary();
  }
  const Lexeme sign = Take();
  VARVE_ASSIGN_OR_RETURN(ParsedDuration operand,
                         ParseDurationBinary(kMulPrecedence + 1));
  return NegateDuration(sign, std::move(operand));
}

// Applies the sign: to the value of a literal, else as a node of its own.
absl::StatusOr<ParsedDuration> Parser::NegateDuration(const Lexeme& sign,
                                                      ParsedDuration operand) {
  const bool negative = sign.token == Token::kSub;
  if (IsLiteral(operand)) {
    if (negative) operand.expr->value *= -1;
    operand.expr->position.start = sign.start;
    return operand;
  }
  if (!negative) return operand;
  auto negated = std::make_unique<DurationExpr>();
  negated->kind = Kind::kNegate;
  negated->position = {sign.start, operand.expr->position.end};
  negated->rhs = std::move(operand.expr);
  VARVE_RETURN_IF_ERROR(CheckHeight(operand.height + 1, sign.start));
  return ParsedDuration{std::move(negated), operand.height + 1};
}

absl::StatusOr<ParsedDuration> Parser::ParseDurationPrimary() {
  switch (Peek().token) {
    case Token::kNumber:
    case Token::kDuration:
      return ParseDurationLiteral();
    case Token::kStep:
    case Token::kRange:
    case Token::kMinOf:
    case Token::kMaxOf:
      return ParseDurationFunction();
    case Token::kLeftParen: {
      Take();
      VARVE_ASSIGN_OR_RETURN(ParsedDuration inner, ParseDurationBinary(1));
      VARVE_RETURN_IF_ERROR(Expect(Token::kRightParen).status());
      // Around a literal the parentheses say nothing.
      inner.expr->wrapped = !IsLiteral(inner);
      return inner;
    }
    default:
      return Unexpected();
  }
}

absl::StatusOr<ParsedDuration> Parser::ParseDurationLiteral() {
  auto literal = std::make_unique<DurationExpr>();
  literal->duration = Peek().token == Token::kDuration;
  literal->position = {Peek().start, Peek().end()};
  VARVE_ASSIGN_OR_RETURN(literal->value, ParseNumberValue());
  if (!(std::abs(literal->value) <= kSecondsMax)) {
    return Error(literal->position.start, "duration out of range");
  }
  return ParsedDuration{std::move(literal), 1};
}

absl::StatusOr<ParsedDuration> Parser::ParseDurationFunction() {
  const Lexeme name = Take();
  auto function = std::make_unique<DurationExpr>();
  int height = 1;
  VARVE_RETURN_IF_ERROR(Expect(Token::kLeftParen).status());
  if (name.token == Token::kStep || name.token == Token::kRange) {
    function->kind = name.token == Token::kStep ? Kind::kStep : Kind::kRange;
  } else {
    function->kind = name.token == Token::kMinOf ? Kind::kMinOf : Kind::kMaxOf;
    VARVE_ASSIGN_OR_RETURN(ParsedDuration lhs, ParseDurationBinary(1));
    VARVE_RETURN_IF_ERROR(Expect(Token::kComma).status());
    VARVE_ASSIGN_OR_RETURN(ParsedDuration rhs, ParseDurationBinary(1));
    height = 1 + std::max(lhs.height, rhs.height);
    function->lhs = std::move(lhs.expr);
    function->rhs = std::move(rhs.expr);
  }
  VARVE_RETURN_IF_ERROR(Expect(Token::kRightParen).status());
  function->position = {name.start, last_end_};
  VARVE_RETURN_IF_ERROR(CheckHeight(height, name.start));
  return ParsedDuration{std::move(function), height};
}

// Behind `offset` no operator belongs to a literal or a function: `x offset -2
// ^ 2` is `(x offset -2) ^ 2`. Behind a parenthesis it does, as in Prometheus.
absl::StatusOr<ParsedDuration> Parser::ParseOffsetDuration() {
  const Token token = Peek().token;
  if (token == Token::kLeftParen) return ParseDurationBinary(1);
  if (token != Token::kAdd && token != Token::kSub) {
    return ParseDurationPrimary();
  }
  const DepthScope scope(this);
  VARVE_RETURN_IF_ERROR(CheckHeight(depth_, last_end_));
  const Lexeme sign = Take();
  const Token next = Peek().token;
  const bool signed_again = next == Token::kAdd || next == Token::kSub;
  auto operand = signed_again ? ParseOffsetDuration() : ParseDurationPrimary();
  if (!operand.ok()) return operand;
  return NegateDuration(sign, *std::move(operand));
}

}  // namespace varve::promql
