#include "query/lexer.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include "query/text.h"
#include "storage/labels.h"

namespace varve::promql {
namespace {

constexpr std::string_view kDecimalDigits = "0123456789";
constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";
constexpr int32_t kRuneMax = 0x10FFFF;

bool IsSpace(int32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool IsDigit(int32_t c) { return c >= '0' && c <= '9'; }
bool IsAlpha(int32_t c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsAlphaNumeric(int32_t c) { return IsAlpha(c) || IsDigit(c); }

/// The value of a hexadecimal digit; 16 for anything else.
int DigitValue(int32_t c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

const absl::flat_hash_map<std::string, Token>& Words() {
  static const auto& words = *new absl::flat_hash_map<std::string, Token>{
      {"and", Token::kAnd},
      {"or", Token::kOr},
      {"unless", Token::kUnless},
      {"atan2", Token::kAtan2},
      {"sum", Token::kSum},
      {"avg", Token::kAvg},
      {"count", Token::kCount},
      {"min", Token::kMin},
      {"max", Token::kMax},
      {"group", Token::kGroup},
      {"stddev", Token::kStddev},
      {"stdvar", Token::kStdvar},
      {"topk", Token::kTopk},
      {"bottomk", Token::kBottomk},
      {"quantile", Token::kQuantile},
      {"count_values", Token::kCountValues},
      {"limitk", Token::kLimitk},
      {"limit_ratio", Token::kLimitRatio},
      {"offset", Token::kOffset},
      {"smoothed", Token::kSmoothed},
      {"anchored", Token::kAnchored},
      {"by", Token::kBy},
      {"without", Token::kWithout},
      {"on", Token::kOn},
      {"ignoring", Token::kIgnoring},
      {"group_left", Token::kGroupLeft},
      {"group_right", Token::kGroupRight},
      {"fill", Token::kFill},
      {"fill_left", Token::kFillLeft},
      {"fill_right", Token::kFillRight},
      {"bool", Token::kBool},
      {"start", Token::kStart},
      {"end", Token::kEnd},
      {"step", Token::kStep},
      {"range", Token::kRange},
      {"min_of", Token::kMinOf},
      {"max_of", Token::kMaxOf},
      {"inf", Token::kNumber},
      {"nan", Token::kNumber},
  };
  return words;
}

/// Words that mean something inside of `[...]`.
Token DurationWord(const std::string& lower) {
  if (lower == "step") return Token::kStep;
  if (lower == "range") return Token::kRange;
  if (lower == "min_of") return Token::kMinOf;
  if (lower == "max_of") return Token::kMaxOf;
  return Token::kError;
}

/// The words that may begin a number, a duration or a function in brackets.
constexpr std::string_view kDurationWordStarts = "sSmMrR";

bool Contains(std::string_view set, int32_t c) {
  return c > 0 && c < 0x80 &&
         set.find(static_cast<char>(c)) != std::string_view::npos;
}

}  // namespace

int32_t Lexer::Take() {
  if (at_ >= text_.size()) {
    width_ = 0;
    return kEof;
  }
  const DecodedRune rune = DecodeRune(text_, at_);
  width_ = rune.width;
  at_ += width_;
  return rune.rune;
}

int32_t Lexer::Peek() {
  return at_ >= text_.size() ? kEof : DecodeRune(text_, at_).rune;
}

bool Lexer::Accept(std::string_view set) {
  if (Contains(set, Take())) return true;
  Backup();
  return false;
}

bool Lexer::Is(std::string_view set) { return Contains(set, Peek()); }

Lexeme Lexer::Emit(Token token) {
  Lexeme lexeme{token, start_, text_.substr(start_, at_ - start_)};
  start_ = static_cast<int32_t>(at_);
  return lexeme;
}

Lexeme Lexer::Fail(std::string what) {
  error_ = std::move(what);
  done_ = true;
  return {Token::kError, start_, text_.substr(start_, at_ - start_)};
}

Lexeme Lexer::Next() {
  if (done_) {
    return {error_.empty() ? Token::kEndOfInput : Token::kError, start_, {}};
  }
  for (;;) {
    start_ = static_cast<int32_t>(at_);
    const int32_t c = Take();
    if (IsSpace(c)) continue;
    if (c == '#' && !in_duration_) {
      SkipComment();
      continue;
    }
    if (in_braces_) return NextInBraces(c);
    return in_duration_ ? NextInDuration(c) : NextOutside(c);
  }
}

void Lexer::SkipComment() {
  for (int32_t c = Take(); c != '\n' && c != '\r' && c != kEof;) c = Take();
}

Lexeme Lexer::EndOfInput() {
  if (paren_depth_ != 0) return Fail("unclosed left parenthesis");
  if (in_brackets_) return Fail("unclosed left bracket");
  done_ = true;
  return Emit(Token::kEndOfInput);
}

Lexeme Lexer::NextOutside(int32_t c) {
  switch (c) {
    case kEof:
      return EndOfInput();
    case ',':
      return Emit(Token::kComma);
    case '*':
      return Emit(Token::kMul);
    case '/':
      return Emit(Token::kDiv);
    case '%':
      return Emit(Token::kMod);
    case '+':
      return Emit(Token::kAdd);
    case '-':
      return Emit(Token::kSub);
    case '^':
      return Emit(Token::kPow);
    case '@':
      return Emit(Token::kAt);
    case '=':
    case '!':
    case '<':
    case '>':
      return Comparison(c);
    case '"':
    case '\'':
      return QuotedString(c);
    case '`':
      return RawString();
    case '(':
      ++paren_depth_;
      return Emit(Token::kLeftParen);
    case ')':
      return CloseParen();
    case '{':
      in_braces_ = true;
      return Emit(Token::kLeftBrace);
    case '[':
      return OpenBracket();
    case ']':
      return CloseBracket();
    default:
      break;
  }
  if (IsDigit(c) || (c == '.' && IsDigit(Peek()))) {
    Backup();
    return NumberOrDuration();
  }
  if (!IsAlpha(c) && c != ':') {
    return Fail(fmt::format("unexpected character: {}", QuoteRune(c)));
  }
  if (!in_brackets_) return Word();
  if (c == ':') {
    if (colon_seen_) return Fail("unexpected colon ':'");
    colon_seen_ = true;
    return Emit(Token::kColon);
  }
  return WordInBrackets(
      c, fmt::format("unexpected character: {}, expected ':'", QuoteRune(c)));
}

Lexeme Lexer::Comparison(int32_t c) {
  if (c == '=') {
    if (Peek() == '~') return Fail("unexpected character after '=': '~'");
    return Emit(Accept("=") ? Token::kEql : Token::kEqual);
  }
  if (c == '!') {
    const int32_t second = Take();
    if (second == '=') return Emit(Token::kNeq);
    return Fail(
        fmt::format("unexpected character after '!': {}", QuoteRune(second)));
  }
  if (c == '<') {
    if (Accept("=")) return Emit(Token::kLte);
    return Emit(Accept("/") ? Token::kTrimUpper : Token::kLss);
  }
  if (Accept("=")) return Emit(Token::kGte);
  return Emit(Accept("/") ? Token::kTrimLower : Token::kGtr);
}

Lexeme Lexer::NextInBraces(int32_t c) {
  switch (c) {
    case kEof:
      return Fail("unexpected end of input inside braces");
    case ',':
      return Emit(Token::kComma);
    case '"':
    case '\'':
      return QuotedString(c);
    case '`':
      return RawString();
    case '=':
      return Emit(Accept("~") ? Token::kRegex : Token::kEqual);
    case '!': {
      const int32_t second = Take();
      if (second == '~') return Emit(Token::kNotRegex);
      if (second == '=') return Emit(Token::kNeq);
      return Fail(
          fmt::format("unexpected character after '!' inside braces: {}",
                      QuoteRune(second)));
    }
    case '{':
      return Fail("unexpected left brace '{'");
    case '}':
      in_braces_ = false;
      return Emit(Token::kRightBrace);
    default:
      break;
  }
  if (!IsAlpha(c)) {
    return Fail(
        fmt::format("unexpected character inside braces: {}", QuoteRune(c)));
  }
  while (IsAlphaNumeric(Peek())) Take();
  return Emit(Token::kIdentifier);
}

Lexeme Lexer::NextInDuration(int32_t c) {
  switch (c) {
    case kEof:
      return Fail("unexpected end of input in duration expression");
    case ']':
      return CloseBracket();
    case ':': {
      const Lexeme colon = Emit(Token::kColon);
      if (!duration_seen_) {
        return Fail("unexpected colon before duration in duration expression");
      }
      if (colon_seen_) {
        return Fail("unexpected repeated colon in duration expression");
      }
      colon_seen_ = true;
      return colon;
    }
    case '(':
      ++paren_depth_;
      return Emit(Token::kLeftParen);
    case ')':
      return CloseParen();
    case '+':
      return Emit(Token::kAdd);
    case '-':
      return Emit(Token::kSub);
    case '*':
      return Emit(Token::kMul);
    case '/':
      return Emit(Token::kDiv);
    case '%':
      return Emit(Token::kMod);
    case '^':
      return Emit(Token::kPow);
    case ',':
      return Emit(Token::kComma);
    default:
      break;
  }
  if (IsDigit(c) || (c == '.' && IsDigit(Peek()))) {
    Backup();
    duration_seen_ = true;
    in_duration_ = false;
    return NumberOrDuration();
  }
  return WordInBrackets(c, fmt::format("unexpected character in duration "
                                       "expression: {}",
                                       QuoteRune(c)));
}

Lexeme Lexer::CloseParen() {
  const Lexeme paren = Emit(Token::kRightParen);
  if (--paren_depth_ < 0) return Fail("unexpected right parenthesis ')'");
  return paren;
}

Lexeme Lexer::OpenBracket() {
  if (in_brackets_) return Fail("unexpected left bracket '['");
  in_brackets_ = true;
  in_duration_ = true;
  colon_seen_ = false;
  duration_seen_ = false;
  return Emit(Token::kLeftBracket);
}

Lexeme Lexer::CloseBracket() {
  if (!in_brackets_) return Fail("unexpected right bracket ']'");
  in_brackets_ = false;
  in_duration_ = false;
  return Emit(Token::kRightBracket);
}

Lexeme Lexer::WordInBrackets(int32_t first, std::string what) {
  if (!Contains(kDurationWordStarts, first)) return Fail(std::move(what));
  while (IsAlpha(Peek())) Take();
  const auto word = text_.substr(start_, at_ - start_);
  const Token token =
      DurationWord(absl::AsciiStrToLower({word.data(), word.size()}));
  if (token == Token::kError) return Fail(std::move(what));
  duration_seen_ = true;
  return Emit(token);
}

Lexeme Lexer::Word() {
  while (IsAlphaNumeric(Peek()) || Peek() == ':') Take();
  const auto word = text_.substr(start_, at_ - start_);
  const auto it =
      Words().find(absl::AsciiStrToLower({word.data(), word.size()}));
  if (it != Words().end()) {
    // `fill` stays free as a metric name: a modifier only before a bracket.
    const bool fill =
        it->second >= Token::kFill && it->second <= Token::kFillRight;
    return Emit(fill && !ParenFollows() ? Token::kIdentifier : it->second);
  }
  const bool colon = word.find(':') != std::string_view::npos;
  return Emit(colon ? Token::kMetricIdentifier : Token::kIdentifier);
}

bool Lexer::ParenFollows() const {
  size_t at = at_;
  while (at < text_.size() && IsSpace(text_[at])) ++at;
  return at < text_.size() && text_[at] == '(';
}

Lexeme Lexer::NumberOrDuration() {
  if (ScanNumber()) return Emit(Token::kNumber);
  if (ScanDurationTail()) return Emit(Token::kDuration);
  return Fail(fmt::format("bad number or duration syntax: {}",
                          Quote(text_.substr(start_, at_ - start_))));
}

bool Lexer::ScanNumber() {
  std::string_view digits = kDecimalDigits;
  if (Accept("0") && Accept("xX")) {
    Accept("_");
    digits = kHexDigits;
  }
  const size_t before = start_;
  Accept(".");
  Accept(digits);
  if (!ScanNumberTail(digits) || at_ == before) return false;
  return !IsAlphaNumeric(Peek());
}

// Digits, dots, exponents and underscores in an order that can be a number; the
// parser has the last word on the value.
bool Lexer::ScanNumberTail(std::string_view digits) {
  bool dot = false;
  bool exponent = false;
  while (Is(digits) || Is("._eE")) {
    if (Is(".")) {
      if (dot) {
        Take();
        return false;
      }
      Take();
      dot = true;
      if (Accept("_.") || digits.size() > 10) return false;
    } else if (Is("eE")) {
      if (exponent) {
        Take();
        return false;
      }
      Take();
      exponent = true;
      Accept("+-");
      if (Accept("._eE") || Peek() == kEof) return false;
    } else if (Accept("_")) {
      if (Accept("._eE") || Peek() == kEof) return false;
    } else {
      while (Accept(digits)) {
      }
    }
  }
  return true;
}

bool Lexer::ScanDurationTail() {
  // A `y` can only stand at the first place; whether the units make sense is
  // seen when the duration is parsed.
  if (!Accept("smhdwy")) return false;
  Accept("s");
  while (Accept(kDecimalDigits)) {
    while (Accept(kDecimalDigits)) {
    }
    if (!Accept("smhdw")) return false;
    Accept("s");
  }
  if (!IsAlphaNumeric(Peek())) return true;
  Take();
  return false;
}

Lexeme Lexer::QuotedString(int32_t quote) {
  for (;;) {
    const int32_t c = Take();
    if (c == quote) return Emit(Token::kString);
    if (c == kReplacementRune) return Fail("invalid UTF-8 rune");
    if (c == kEof || c == '\n') return Fail("unterminated quoted string");
    if (c == '\\' && !ScanEscape(quote)) return Fail(std::move(error_));
  }
}

Lexeme Lexer::RawString() {
  for (;;) {
    const int32_t c = Take();
    if (c == '`') return Emit(Token::kString);
    if (c == kReplacementRune) return Fail("invalid UTF-8 rune");
    if (c == kEof) return Fail("unterminated raw string");
  }
}

// The backslash is taken. False: error_ says what is wrong.
bool Lexer::ScanEscape(int32_t quote) {
  int32_t c = Take();
  if (c == quote || Contains("abfnrtv\\", c)) return true;
  int count = 3;
  int base = 8;
  int64_t value_max = 255;
  if (c == 'x' || c == 'u' || c == 'U') {
    count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    value_max = c == 'x' ? 255 : kRuneMax;
    base = 16;
    c = Take();
  } else if (c == kEof) {
    error_ = "escape sequence not terminated";
    return false;
  } else if (c < '0' || c > '7') {
    error_ = fmt::format("unknown escape sequence {}", DescribeRune(c));
    return false;
  }
  int64_t value = 0;
  for (; count > 0; --count) {
    const int digit = DigitValue(c);
    if (digit >= base) {
      error_ = c == kEof
                   ? std::string("escape sequence not terminated")
                   : fmt::format("illegal character {} in escape sequence",
                                 DescribeRune(c));
      return false;
    }
    value = value * base + digit;
    if (count > 1) c = Take();
  }
  if (value > value_max || (value >= 0xD800 && value < 0xE000)) {
    error_ = "escape sequence is an invalid Unicode code point";
    return false;
  }
  return true;
}

std::string Describe(const Lexeme& lexeme) {
  const auto quoted = [&] {
    // As Go's %.10q: the first ten characters.
    size_t end = 0;
    for (int n = 0; n < 10 && end < lexeme.text.size(); ++n) {
      end += DecodeRune(lexeme.text, end).width;
    }
    return lexeme.text.size() > 10 ? Quote(lexeme.text.substr(0, end)) + "..."
                                   : Quote(lexeme.text);
  };
  const Token t = lexeme.token;
  if (t == Token::kEndOfInput) return "end of input";
  if (t == Token::kIdentifier) return "identifier " + Quote(lexeme.text);
  if (t == Token::kMetricIdentifier) {
    return "metric identifier " + Quote(lexeme.text);
  }
  if (t == Token::kString) return "string " + quoted();
  if (t == Token::kNumber) return "number " + quoted();
  if (t == Token::kDuration) return "duration " + quoted();
  if (IsKeyword(t)) return fmt::format("<{}>", lexeme.text);
  if (IsOperator(t)) return fmt::format("<op:{}>", lexeme.text);
  if (IsAggregator(t)) return fmt::format("<aggr:{}>", lexeme.text);
  return quoted();
}

}  // namespace varve::promql
