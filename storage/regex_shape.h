#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace varve {

/// What a regex that is anchored at both ends says about the texts it matches,
/// found without running it. Every text that matches is one of `exact`, or
/// begins with one of `prefixes`.
struct RegexShape {
  /// Nothing but these match, sorted, when `is_set`; else empty.
  std::vector<std::string> exact;
  bool is_set = false;
  /// Sorted, none begins with another. Empty: nothing is known.
  std::vector<std::string> prefixes;
  /// Whatever goes on after one of the prefixes matches, if it is UTF-8.
  bool any_tail = false;
  /// `.*text.*`: what contains it matches, if it is UTF-8. Empty: another form.
  std::string infix;
  /// `.*text`, likewise of what ends with it.
  std::string suffix;
};

/// The pattern is one that RE2 accepts, with `.` for every character. Of forms
/// that this does not know (flags, named groups, long products) the shape says
/// nothing.
RegexShape ShapeOfRegex(std::string_view pattern);

}  // namespace varve
