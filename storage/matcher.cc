#include "storage/matcher.h"

#include <re2/re2.h>

#include <algorithm>

#include "storage/labels.h"
#include "storage/status_macros.h"

namespace varve {

struct Matcher::Regex {
  explicit Regex(const std::string& pattern, const RE2::Options& options)
      : re(pattern, options) {}
  RE2 re;
};

namespace {

constexpr size_t kLiteralsMax = 4096;

/// Bytes of a regex that stand for anything but themselves.
constexpr std::string_view kMetaBytes = "\\.+*?()|[]{}^$";

/// Splits `a|b|c`, with or without one pair of brackets around it, when every
/// alternative is a plain literal. False when it is anything else.
bool SplitLiterals(std::string_view pattern, std::vector<std::string>* out) {
  if (pattern.size() >= 2 && pattern.front() == '(' && pattern.back() == ')') {
    pattern = pattern.substr(1, pattern.size() - 2);
    if (pattern.starts_with("?:")) pattern.remove_prefix(2);
  }
  std::string literal;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '|') {
      out->push_back(std::move(literal));
      literal.clear();
    } else if (c == '\\' && i + 1 < pattern.size() &&
               kMetaBytes.find(pattern[i + 1]) != std::string_view::npos) {
      literal += pattern[++i];
    } else if (kMetaBytes.find(c) != std::string_view::npos) {
      return false;
    } else {
      literal += c;
    }
    if (out->size() > kLiteralsMax) return false;
  }
  out->push_back(std::move(literal));
  std::sort(out->begin(), out->end());
  out->erase(std::unique(out->begin(), out->end()), out->end());
  return true;
}

/// The literal bytes that every match begins with.
std::string LiteralPrefix(std::string_view pattern) {
  if (pattern.find('|') != std::string_view::npos) return {};
  std::string prefix;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (kMetaBytes.find(pattern[i]) != std::string_view::npos) {
      // `ab*`, `ab?` and `ab{0,}` do not need the b.
      const bool optional =
          pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '{';
      if (optional) {
        // A repetition takes the whole last character, which may be longer
        // than a byte.
        while (!prefix.empty() && (prefix.back() & 0xc0) == 0x80) {
          prefix.pop_back();
        }
        if (!prefix.empty()) prefix.pop_back();
      }
      break;
    }
    prefix += pattern[i];
  }
  return prefix;
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
    m.regex_ = std::make_shared<const Regex>("^(?:" + m.value_ + ")$", options);
    if (!m.regex_->re.ok()) {
      return InvalidArgument("error parsing regexp: {}: `{}`",
                             ErrorText(m.regex_->re.error_code()), m.value_);
    }
    if (type == MatchType::kRegex) {
      if (!SplitLiterals(m.value_, &m.literals_)) m.literals_.clear();
      m.prefix_ = m.literals_.size() == 1 ? m.literals_.front()
                                          : LiteralPrefix(m.value_);
    }
  } else if (type == MatchType::kEqual) {
    m.literals_ = {m.value_};
    m.prefix_ = m.value_;
  }
  m.matches_empty_ = m.Matches("");
  return m;
}

bool Matcher::Matches(std::string_view v) const {
  switch (type_) {
    case MatchType::kEqual:
      return v == value_;
    case MatchType::kNotEqual:
      return v != value_;
    case MatchType::kRegex:
      if (!literals_.empty()) {
        return std::binary_search(literals_.begin(), literals_.end(), v);
      }
      return v.starts_with(prefix_) &&
             RE2::FullMatch(re2::StringPiece(v.data(), v.size()), regex_->re);
    case MatchType::kNotRegex:
      return !RE2::FullMatch(re2::StringPiece(v.data(), v.size()), regex_->re);
  }
  return false;
}

std::string Matcher::ToString() const {
  const std::string name = IsLegacyLabelName(name_) ? name_ : Quote(name_);
  return fmt::format("{}{}{}", name, varve::ToString(type_), Quote(value_));
}

}  // namespace varve
