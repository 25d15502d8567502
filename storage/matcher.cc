#include "storage/matcher.h"

#include <re2/re2.h>

#include <algorithm>

#include "storage/labels.h"
#include "storage/regex_shape.h"
#include "storage/status_macros.h"

namespace varve {

struct Matcher::Regex {
  Regex(const std::string& pattern, const RE2::Options& options)
      : re("^(?:" + pattern + ")$", options) {}
  RE2 re;
  RegexShape shape;
};

namespace {

/// RE2's `.` matches no byte that is not of UTF-8, so a shortcut for it is good
/// for texts only that are UTF-8 for sure.
bool IsAscii(std::string_view text) {
  uint8_t bits = 0;
  for (const char c : text) bits |= static_cast<uint8_t>(c);
  return bits < 0x80;
}

/// What is wrong with a regex, in the words of Go's regexp/syntax.
std::string_view ErrorText(RE2::ErrorCode code) {
  switch (code) {
    case RE2::ErrorBadEscape:
      return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
      return "invalid character class";
    case RE2::ErrorBadCharRange:
      return "invalid character class range";
    case RE2::ErrorMissingBracket:
      return "missing closing ]";
    case RE2::ErrorMissingParen:
      return "missing closing )";
    case RE2::ErrorUnexpectedParen:
      return "unexpected )";
    case RE2::ErrorTrailingBackslash:
      return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument:
      return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize:
      return "invalid repeat count";
    case RE2::ErrorRepeatOp:
      return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp:
      return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8:
      return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture:
      return "invalid named capture";
    case RE2::ErrorPatternTooLarge:
      return "expression too large";
    default:
      return "regexp/syntax: internal error";
  }
}

}  // namespace

std::string_view ToString(MatchType type) {
  switch (type) {
    case MatchType::kEqual:
      return "=";
    case MatchType::kNotEqual:
      return "!=";
    case MatchType::kRegex:
      return "=~";
    case MatchType::kNotRegex:
      return "!~";
  }
  return "=";
}

absl::StatusOr<Matcher> Matcher::Create(MatchType type, std::string name,
                                        std::string value) {
  Matcher m;
  m.type_ = type;
  m.name_ = std::move(name);
  m.value_ = std::move(value);
  if (type == MatchType::kRegex || type == MatchType::kNotRegex) {
    RE2::Options options(RE2::Quiet);
    options.set_dot_nl(true);
    options.set_max_mem(int64_t{8} << 20);
    // The pattern must be a regex by itself, not only inside our brackets.
    if (const RE2 alone(m.value_, options); !alone.ok()) {
      return InvalidArgument("error parsing regexp: {}: `{}`",
                             ErrorText(alone.error_code()), alone.error_arg());
    }
    auto regex = std::make_shared<Regex>(m.value_, options);
    if (!regex->re.ok()) {
      return InvalidArgument("error parsing regexp: {}: `{}`",
                             ErrorText(regex->re.error_code()), m.value_);
    }
    regex->shape = ShapeOfRegex(m.value_);
    m.regex_ = std::move(regex);
  }
  m.matches_empty_ = m.Matches("");
  return m;
}

std::span<const std::string> Matcher::values() const {
  if (regex_ != nullptr) return regex_->shape.exact;
  return {&value_, 1};
}

std::span<const std::string> Matcher::prefixes() const {
  if (negative()) return {};
  if (regex_ != nullptr) return regex_->shape.prefixes;
  return value_.empty() ? std::span<const std::string>()
                        : std::span(&value_, 1);
}

bool Matcher::RegexMatches(std::string_view v) const {
  const RegexShape& shape = regex_->shape;
  if (shape.is_set) {
    return std::binary_search(shape.exact.begin(), shape.exact.end(), v);
  }
  if (!shape.prefixes.empty()) {
    const auto after =
        std::upper_bound(shape.prefixes.begin(), shape.prefixes.end(), v);
    if (after == shape.prefixes.begin() || !v.starts_with(*(after - 1))) {
      return false;
    }
    if (shape.any_tail && IsAscii(v)) return true;
  } else if (!shape.suffix.empty()) {
    if (!v.ends_with(shape.suffix)) return false;
    if (IsAscii(v)) return true;
  } else if (!shape.infix.empty()) {
    if (v.find(shape.infix) == std::string_view::npos) return false;
    if (IsAscii(v)) return true;
  }
  return RE2::FullMatch(re2::StringPiece(v.data(), v.size()), regex_->re);
}

bool Matcher::Matches(std::string_view v) const {
  switch (type_) {
    case MatchType::kEqual:
      return v == value_;
    case MatchType::kNotEqual:
      return v != value_;
    case MatchType::kRegex:
      return RegexMatches(v);
    case MatchType::kNotRegex:
      return !RegexMatches(v);
  }
  return false;
}

std::string Matcher::ToString() const {
  const std::string name = IsLegacyLabelName(name_) ? name_ : Quote(name_);
  return fmt::format("{}{}{}", name, varve::ToString(type_), Quote(value_));
}

}  // namespace varve
