#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

enum class MatchType : uint8_t { kEqual, kNotEqual, kRegex, kNotRegex };
/// `=`, `!=`, `=~`, `!~`.
std::string_view ToString(MatchType type);

/// One label matcher of a selector. A label that is absent matches as "".
/// Regexes are RE2 syntax, anchored at both ends, and `.` matches newlines.
/// Immutable and thread-safe; copies share the compiled regex.
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

  /// For a positive regex that is a plain alternation of literals (`a|b|c`):
  /// exactly the values it matches, sorted, without duplicates. Empty if the
  /// regex is not of that form. Equality matchers give their one value.
  const std::vector<std::string>& literals() const { return literals_; }
  /// Every value that matches starts with this ("" when nothing is known).
  const std::string& prefix() const { return prefix_; }

  /// As in PromQL: `name=~"value"`.
  std::string ToString() const;

 private:
  struct Regex;

  Matcher() = default;

  MatchType type_ = MatchType::kEqual;
  std::string name_;
  std::string value_;
  std::string prefix_;
  std::vector<std::string> literals_;
  std::shared_ptr<const Regex> regex_;
  bool matches_empty_ = false;
};

}  // namespace varve
