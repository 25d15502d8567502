#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

enum class MatchType : uint8_t { kEqual, kNotEqual, kRegex, kNotRegex };
/// `=`, `!=`, `=~`, `!~`.
std::string_view ToString(MatchType type);

/// One label matcher of a selector. A label that is absent matches as "".
/// Regexes are RE2 syntax, anchored at both ends, and `.` matches newlines.
/// What a regex says about the values without being run (storage/regex_shape.h)
/// is used where it can. Immutable and thread-safe; copies share the regex.
class Matcher {
 public:
  /// InvalidArgument when the regex does not compile; it names the regex.
  static absl::StatusOr<Matcher> Create(MatchType type, std::string name,
                                        std::string value);

  MatchType type() const { return type_; }
  const std::string& name() const { return name_; }
  const std::string& value() const { return value_; }

  bool Matches(std::string_view label_value) const;
  bool MatchesEmpty() const { return matches_empty_; }
  bool negative() const {
    return type_ == MatchType::kNotEqual || type_ == MatchType::kNotRegex;
  }

  /// When the matcher is positive and the values it matches are known, as of
  /// `a|b|c` and `x-(a|[0-4])`: exactly these, sorted, without duplicates. Else
  /// empty. Equality matchers give their one value.
  std::span<const std::string> literals() const {
    return negative() ? std::span<const std::string>() : values();
  }
  /// The same of a negative matcher, for what it does not match.
  std::span<const std::string> excluded() const {
    return negative() ? values() : std::span<const std::string>();
  }
  /// Every value that a positive matcher matches starts with one of these.
  /// Sorted, none starts with another; empty: nothing is known.
  std::span<const std::string> prefixes() const;

  /// As in PromQL: `name=~"value"`.
  std::string ToString() const;

 private:
  struct Regex;

  Matcher() = default;
  std::span<const std::string> values() const;
  bool RegexMatches(std::string_view label_value) const;

  MatchType type_ = MatchType::kEqual;
  std::string name_;
  std::string value_;
  std::shared_ptr<const Regex> regex_;
  bool matches_empty_ = false;
};

}  // namespace varve
