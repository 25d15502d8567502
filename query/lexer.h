#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace varve::promql {

/// The order matters: the Is... functions below test ranges.
enum class Token : uint8_t {
  kEndOfInput,
  kError,  ///< Lexer::error() says what
  kIdentifier,
  kMetricIdentifier,  ///< with a colon
  kNumber,
  kDuration,
  kString,  ///< with its quotes
  kLeftBrace,
  kRightBrace,
  kLeftBracket,
  kRightBracket,
  kLeftParen,
  kRightParen,
  kComma,
  kColon,
  kEqual,  ///< `=`
  // Operators.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,
  kPow,
  kAtan2,
  kEql,
  kNeq,
  kGtr,
  kLss,
  kGte,
  kLte,
  kTrimUpper,
  kTrimLower,
  kAnd,
  kOr,
  kUnless,
  kRegex,
  kNotRegex,
  kAt,
  // Aggregations, in the order of AggregateOp.
  kSum,
  kAvg,
  kCount,
  kMin,
  kMax,
  kGroup,
  kStddev,
  kStdvar,
  kTopk,
  kBottomk,
  kQuantile,
  kCountValues,
  kLimitk,
  kLimitRatio,
  // Keywords.
  kOffset,
  kSmoothed,
  kAnchored,
  kBy,
  kWithout,
  kOn,
  kIgnoring,
  kGroupLeft,
  kGroupRight,
  kFill,
  kFillLeft,
  kFillRight,
  kBool,
  // Names that are values of the query itself.
  kStart,
  kEnd,
  kStep,
  kRange,
  kMinOf,
  kMaxOf,
};

inline bool IsOperator(Token t) { return t >= Token::kAdd && t <= Token::kAt; }
inline bool IsAggregator(Token t) {
  return t >= Token::kSum && t <= Token::kLimitRatio;
}
inline bool IsKeyword(Token t) {
  return t >= Token::kOffset && t <= Token::kBool;
}

/// One token of a query; the view points into the query.
struct Lexeme {
  Token token = Token::kEndOfInput;
  int32_t start = 0;
  std::string_view text;

  int32_t end() const { return start + static_cast<int32_t>(text.size()); }
};

/// How Prometheus names a token in an error text: `identifier "up"`, `<op:+>`.
std::string Describe(const Lexeme& lexeme);

/// Splits a query into tokens; comments and white space are left out. What a
/// word means depends on the brackets around it, so the lexer follows those.
/// The first error ends the input. Single-thread; the text must outlive it.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Lexeme Next();

  /// After a token kError: what is wrong, and from which byte on.
  const std::string& error() const { return error_; }
  int32_t error_position() const { return start_; }

 private:
  static constexpr int32_t kEof = -1;

  // Characters, as Unicode code points.
  int32_t Take();
  int32_t Peek();
  void Backup() { at_ -= width_; }
  bool Accept(std::string_view set);
  bool Is(std::string_view set);

  // A token made of what was taken since the last one.
  Lexeme Emit(Token token);
  Lexeme Fail(std::string what);

  Lexeme NextOutside(int32_t c);
  Lexeme NextInBraces(int32_t c);
  Lexeme NextInDuration(int32_t c);
  Lexeme Comparison(int32_t c);
  Lexeme WordInBrackets(int32_t first, std::string what);
  Lexeme Word();
  Lexeme NumberOrDuration();
  Lexeme QuotedString(int32_t quote);
  Lexeme RawString();
  Lexeme CloseParen();
  Lexeme OpenBracket();
  Lexeme CloseBracket();
  Lexeme EndOfInput();

  bool ScanNumber();
  bool ScanNumberTail(std::string_view digits);
  bool ScanDurationTail();
  bool ScanEscape(int32_t quote);
  bool ParenFollows() const;
  void SkipComment();

  const std::string_view text_;
  size_t at_ = 0;      ///< next byte
  size_t width_ = 0;   ///< of the last character taken
  int32_t start_ = 0;  ///< of the token being read
  int paren_depth_ = 0;
  bool in_braces_ = false;
  bool in_brackets_ = false;
  bool in_duration_ = false;  ///< in brackets, before the first number
  bool colon_seen_ = false;
  bool duration_seen_ = false;
  bool done_ = false;
  std::string error_;
};

}  // namespace varve::promql
