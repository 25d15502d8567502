#include "query/parser.h"

#include <algorithm>
#include <utility>

#include "query/parser_impl.h"
#include "query/text.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

BinaryOp BinaryOpOf(Token token) {
  switch (token) {
    case Token::kAdd:
      return BinaryOp::kAdd;
    case Token::kSub:
      return BinaryOp::kSub;
    case Token::kMul:
      return BinaryOp::kMul;
    case Token::kDiv:
      return BinaryOp::kDiv;
    case Token::kMod:
      return BinaryOp::kMod;
    case Token::kPow:
      return BinaryOp::kPow;
    case Token::kAtan2:
      return BinaryOp::kAtan2;
    case Token::kEql:
      return BinaryOp::kEql;
    case Token::kNeq:
      return BinaryOp::kNeq;
    case Token::kGtr:
      return BinaryOp::kGtr;
    case Token::kLss:
      return BinaryOp::kLss;
    case Token::kGte:
      return BinaryOp::kGte;
    case Token::kLte:
      return BinaryOp::kLte;
    case Token::kTrimUpper:
      return BinaryOp::kTrimUpper;
    case Token::kTrimLower:
      return BinaryOp::kTrimLower;
    case Token::kAnd:
      return BinaryOp::kAnd;
    case Token::kOr:
      return BinaryOp::kOr;
    default:
      return BinaryOp::kUnless;
  }
}

absl::Status CheckLength(std::string_view text) {
  if (text.size() <= kQueryBytesMax) return absl::OkStatus();
  return InvalidArgument(
      "1:1: parse error: query of {} bytes is too long, the limit is {} bytes",
      text.size(), kQueryBytesMax);
}

}  // namespace

int BinaryPrecedence(Token token) {
  switch (token) {
    case Token::kOr:
      return 1;
    case Token::kAnd:
    case Token::kUnless:
      return 2;
    case Token::kEql:
    case Token::kNeq:
    case Token::kGtr:
    case Token::kLss:
    case Token::kGte:
    case Token::kLte:
    case Token::kTrimUpper:
    case Token::kTrimLower:
      return 3;
    case Token::kAdd:
    case Token::kSub:
      return 4;
    case Token::kMul:
    case Token::kDiv:
    case Token::kMod:
    case Token::kAtan2:
      return kMulPrecedence;
    case Token::kPow:
      return kPowPrecedence;
    default:
      return 0;
  }
}

absl::StatusOr<ExprPtr> ParseExpr(std::string_view text) {
  VARVE_RETURN_IF_ERROR(CheckLength(text));
  return Parser(text).ParseQuery();
}

absl::StatusOr<std::vector<Matcher>> ParseMetricSelector(
    std::string_view text) {
  VARVE_RETURN_IF_ERROR(CheckLength(text));
  return Parser(text).ParseSelector();
}

std::string FormatPosition(std::string_view query, int32_t position) {
  if (query.empty()) return "unknown position";
  if (position < 0 || static_cast<size_t>(position) > query.size()) {
    return "invalid position";
  }
  const std::string_view before = query.substr(0, position);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const size_t line_break = before.rfind('\n');
  const size_t column = line_break == std::string_view::npos
                            ? before.size() + 1
                            : before.size() - line_break;
  return fmt::format("{}:{}", lines + 1, column);
}

absl::Status ParseError(std::string_view text, int32_t position,
                        std::string_view what) {
  return InvalidArgument("{}: parse error: {}", FormatPosition(text, position),
                         what);
}

const Lexeme& Parser::Peek() {
  if (!peeked_) {
    next_ = lexer_.Next();
    peeked_ = true;
  }
  return next_;
}

Lexeme Parser::Take() {
  const Lexeme lexeme = Peek();
  peeked_ = false;
  last_end_ = lexeme.end();
  return lexeme;
}

absl::StatusOr<Lexeme> Parser::Expect(Token token) {
  if (Peek().token != token) return Unexpected();
  return Take();
}

absl::Status Parser::Error(int32_t position, std::string_view what) const {
  return ParseError(text_, position, what);
}

absl::Status Parser::LexerError() const {
  return Error(lexer_.error_position(), lexer_.error());
}

absl::Status Parser::Unexpected(std::string_view in,
                                std::string_view expected) {
  const Lexeme& lexeme = Peek();
  if (lexeme.token == Token::kError) return LexerError();
  std::string what = "unexpected " + Describe(lexeme);
  if (!in.empty()) what += fmt::format(" in {}", in);
  if (!expected.empty()) what += fmt::format(", expected {}", expected);
  return Error(lexeme.start, what);
}

absl::Status Parser::CheckHeight(int height, int32_t position) const {
  if (height <= kHeightMax) return absl::OkStatus();
  return Error(position,
               fmt::format("expression is nested too deeply, the limit is {} "
                           "levels",
                           kHeightMax));
}

absl::StatusOr<ExprPtr> Parser::ParseQuery() {
  if (Peek().token == Token::kEndOfInput) {
    return Error(0, "no expression found in input");
  }
  VARVE_ASSIGN_OR_RETURN(ParsedExpr parsed, ParseBinary(1));
  if (Peek().token != Token::kEndOfInput) return Unexpected();
  VARVE_RETURN_IF_ERROR(CheckTypes(text_, parsed.expr.get()));
  return std::move(parsed.expr);
}

absl::StatusOr<std::vector<Matcher>> Parser::ParseSelector() {
  std::unique_ptr<VectorSelector> selector;
  if (Peek().token == Token::kLeftBrace) {
    VARVE_ASSIGN_OR_RETURN(selector, ParseBraces());
  } else if (CanBeMetricName(Peek().token)) {
    VARVE_ASSIGN_OR_RETURN(selector, ParseVectorSelector(Take()));
  } else {
    return Unexpected();
  }
  if (Peek().token != Token::kEndOfInput) return Unexpected();
  return std::move(selector->matchers);
}

absl::StatusOr<ParsedExpr> Parser::ParseBinary(int precedence_min) {
  const DepthScope scope(this);
  VARVE_RETURN_IF_ERROR(CheckHeight(depth_, last_end_));
  VARVE_ASSIGN_OR_RETURN(ParsedExpr lhs, ParseUnary());
  for (;;) {
    const int precedence = BinaryPrecedence(Peek().token);
    if (precedence == 0 || precedence < precedence_min) return lhs;
    const Lexeme op = Take();
    auto binary = std::make_unique<BinaryExpr>();
    binary->op = BinaryOpOf(op.token);
    VARVE_RETURN_IF_ERROR(ParseModifiers(binary.get()));
    // Only `^` is right-associative.
    const bool right = op.token == Token::kPow;
    VARVE_ASSIGN_OR_RETURN(ParsedExpr rhs,
                           ParseBinary(right ? precedence : precedence + 1));
    binary->position = {lhs.expr->position.start, rhs.expr->position.end};
    binary->op_position = {op.start, op.end()};
    binary->lhs = std::move(lhs.expr);
    binary->rhs = std::move(rhs.expr);
    const int height = 1 + std::max(lhs.height, rhs.height);
    VARVE_RETURN_IF_ERROR(CheckHeight(height, op.start));
    lhs = {std::move(binary), height};
  }
}

// A sign binds as `*` does: `-1 ^ 2` is -(1 ^ 2).
absl::StatusOr<ParsedExpr> Parser::ParseUnary() {
  const Token token = Peek().token;
  if (token != Token::kAdd && token != Token::kSub) {
    VARVE_ASSIGN_OR_RETURN(ParsedExpr primary, ParsePrimary());
    return ParsePostfix(std::move(primary));
  }
  const Lexeme sign = Take();
  const bool negative = sign.token == Token::kSub;
  VARVE_ASSIGN_OR_RETURN(ParsedExpr operand, ParseBinary(kMulPrecedence + 1));
  if (operand.expr->kind == ExprKind::kNumber) {
    auto& number = As<NumberLiteral>(*operand.expr);
    if (negative) number.value *= -1;
    number.position.start = sign.start;
    return operand;
  }
  auto unary = std::make_unique<UnaryExpr>();
  unary->negative = negative;
  unary->position = {sign.start, operand.expr->position.end};
  unary->expr = std::move(operand.expr);
  VARVE_RETURN_IF_ERROR(CheckHeight(operand.height + 1, sign.start));
  return ParsedExpr{std::move(unary), operand.height + 1};
}

absl::StatusOr<ParsedExpr> Parser::ParsePrimary() {
  switch (Peek().token) {
    case Token::kLeftParen:
      return ParseParen();
    case Token::kNumber:
    case Token::kDuration:
      return ParseNumberLiteral();
    case Token::kString: {
      const Lexeme lexeme = Take();
      auto literal = std::make_unique<StringLiteral>();
      literal->value = Unquote(lexeme.text);
      literal->position = {lexeme.start, lexeme.end()};
      return ParsedExpr{std::move(literal), 1};
    }
    case Token::kLeftBrace: {
      VARVE_ASSIGN_OR_RETURN(auto selector, ParseBraces());
      return ParsedExpr{std::move(selector), 1};
    }
    default:
      if (CanBeMetricName(Peek().token)) return ParseWord();
      return Unexpected();
  }
}

absl::StatusOr<ParsedExpr> Parser::ParseParen() {
  const Lexeme open = Take();
  VARVE_ASSIGN_OR_RETURN(ParsedExpr inner, ParseBinary(1));
  VARVE_ASSIGN_OR_RETURN(const Lexeme close, Expect(Token::kRightParen));
  auto paren = std::make_unique<ParenExpr>();
  paren->position = {open.start, close.end()};
  paren->expr = std::move(inner.expr);
  VARVE_RETURN_IF_ERROR(CheckHeight(inner.height + 1, open.start));
  return ParsedExpr{std::move(paren), inner.height + 1};
}

absl::StatusOr<ParsedExpr> Parser::ParseNumberLiteral() {
  auto literal = std::make_unique<NumberLiteral>();
  literal->duration = Peek().token == Token::kDuration;
  literal->position = {Peek().start, Peek().end()};
  VARVE_ASSIGN_OR_RETURN(literal->value, ParseNumberValue());
  return ParsedExpr{std::move(literal), 1};
}

// A number or a duration, the latter in seconds.
absl::StatusOr<double> Parser::ParseNumberValue() {
  const Token token = Peek().token;
  if (token != Token::kNumber && token != Token::kDuration) return Unexpected();
  const Lexeme lexeme = Take();
  if (token == Token::kDuration) {
    const auto ms = ParseDuration(lexeme.text);
    if (!ms.ok()) return Error(lexeme.start, Message(ms.status()));
    return static_cast<double>(*ms) / 1000;
  }
  auto value = ParseNumber(lexeme.text);
  if (!value.ok()) {
    return Error(lexeme.start, fmt::format("error parsing number: {}",
                                           Message(value.status())));
  }
  return value;
}

// A function, an aggregation or a selector: the token behind the word decides.
absl::StatusOr<ParsedExpr> Parser::ParseWord() {
  const Lexeme name = Take();
  const Token next = Peek().token;
  if (IsAggregator(name.token)) {
    if (next == Token::kLeftParen || next == Token::kBy ||
        next == Token::kWithout) {
      return ParseAggregate(name);
    }
  } else if (next == Token::kLeftParen) {
    // start(), end(), step() and range() are functions as well.
    const bool function =
        name.token == Token::kIdentifier || name.token >= Token::kStart;
    if (function) return ParseCall(name);
  }
  VARVE_ASSIGN_OR_RETURN(auto selector, ParseVectorSelector(name));
  return ParsedExpr{std::move(selector), 1};
}

}  // namespace varve::promql
