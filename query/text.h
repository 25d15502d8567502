#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace varve::promql {

// How PromQL writes and reads characters, strings and numbers: as Go does.

inline constexpr int32_t kReplacementRune = 0xFFFD;

struct DecodedRune {
  int32_t rune = kReplacementRune;
  uint32_t width = 1;
};
/// The character at `at`; malformed UTF-8 is kReplacementRune, one byte wide.
/// REQUIRES: at < text.size().
DecodedRune DecodeRune(std::string_view text, size_t at);
void AppendRune(int32_t rune, std::string* out);

/// `'x'`, as Go's %q; a rune below 0 (end of input) as the replacement rune.
std::string QuoteRune(int32_t rune);
/// `U+0078 'x'`, as Go's %#U.
std::string DescribeRune(int32_t rune);

/// The text of a string token that the lexer accepted, quotes included.
std::string Unquote(std::string_view quoted);

/// A number as Go reads it: 0x1f, 010 (octal), 1_000, 1e3, Inf, NaN.
absl::StatusOr<double> ParseNumber(std::string_view text);

/// Go's FormatFloat(value, 'f', -1, 64): all digits, never an exponent.
std::string FormatFixed(double value);
/// Go's %g, with as many digits as it takes or at most `digits_max`: an
/// exponent below 1e-4 and where the number has more than 6 digits (or, if
/// `digits_max` is given, more than these) before the point.
std::string FormatGeneral(double value, int digits_max = 0);
/// As OpenMetrics writes the value of a label such as `le`: `1.0`, `+Inf`.
std::string FormatOpenMetrics(double value);

}  // namespace varve::promql
