#include "query/text.h"

#include <absl/strings/ascii.h>
#include <absl/strings/charconv.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "storage/labels.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsContinuation(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

// Close to Go's unicode.IsPrint, without its tables: control characters,
// separators, format characters, surrogates and private use are not printed.
bool IsPrintable(int32_t rune) {
  if (rune < 0x20 || rune == 0x7F || (rune >= 0x80 && rune <= 0xA0)) {
    return false;
  }
  if (rune == 0xAD || rune == 0x3000 || rune == 0xFEFF) return false;
  if (rune >= 0x2000 && rune <= 0x200F) return false;
  if (rune >= 0x2028 && rune <= 0x202F) return false;
  if (rune >= 0x205F && rune <= 0x206F) return false;
  if (rune >= 0xD800 && rune <= 0xF8FF) return false;
  if (rune >= 0xFFF0 && rune <= 0xFFFB) return false;
  return (rune & 0xFFFE) != 0xFFFE && rune < 0xE0000;
}

/// Underscores may stand only between digits, or between a prefix and a digit.
bool UnderscoresOk(std::string_view text) {
  char last = '^';
  size_t at = 0;
  bool hex = false;
  if (text.size() >= 2 && text[0] == '0' &&
      std::string_view("bBoOxX").find(text[1]) != std::string_view::npos) {
    hex = text[1] == 'x' || text[1] == 'X';
    last = '0';
    at = 2;
  }
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (IsDigit(c) || (hex && absl::ascii_isxdigit(c))) {
      last = '0';
    } else if (c == '_') {
      if (last != '0') return false;
      last = '_';
    } else {
      if (last == '_') return false;
      last = '!';
    }
  }
  return last != '_';
}

/// Go's ParseInt(text, 0, 64) for a text without sign.
std::optional<int64_t> ParseInteger(std::string_view text) {
  if (!UnderscoresOk(text)) return std::nullopt;
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits += absl::ascii_tolower(c);
  }
  int base = 10;
  size_t skip = 0;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = digits[1];
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    skip = base == 8 && mark != 'o' ? 1 : 2;
  }
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data() + skip, end, value, base);
  if (result.ec != std::errc() || result.ptr != end || value < 0) {
    return std::nullopt;
  }
  return value;
}

/// Shortest digits and the power of ten of the first: 12.5 is {"125", 1}.
struct Decimal {
  std::string digits;
  int exponent = 0;
};

Decimal ShortestDigits(double magnitude) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), magnitude,
                                    std::chars_format::scientific);
  const std::string_view text(buffer, result.ptr - buffer);
  const size_t e = text.find('e');
  Decimal decimal;
  for (const char c : text.substr(0, e)) {
    if (c != '.') decimal.digits += c;
  }
  const bool negative = text[e + 1] == '-';
  std::from_chars(buffer + e + 2, result.ptr, decimal.exponent);
  if (negative) decimal.exponent = -decimal.exponent;
  return decimal;
}

std::optional<std::string> FormatSpecial(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return std::nullopt;
}

/// The rune of an escape sequence at `*at`, just behind the backslash.
void AppendEscape(std::string_view text, size_t* at, std::string* out) {
  static constexpr std::string_view kNames = "abfnrtv";
  static constexpr std::string_view kValues = "\a\b\f\n\r\t\v";
  const char c = text[(*at)++];
  const size_t name = kNames.find(c);
  if (name != std::string_view::npos) {
    *out += kValues[name];
    return;
  }
  int count = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  int base = 16;
  if (c >= '0' && c <= '7') {
    count = 3;
    base = 8;
    --*at;
  }
  if (count == 0) {  // A quote or a backslash.
    *out += c;
    return;
  }
  uint32_t value = 0;
  std::from_chars(text.data() + *at, text.data() + *at + count, value, base);
  *at += count;
  if (c == 'u' || c == 'U') {
    AppendRune(static_cast<int32_t>(value), out);
  } else {
    *out += static_cast<char>(value);  // \x and octal give a byte.
  }
}

}  // namespace

DecodedRune DecodeRune(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const uint32_t width = lead >= 0xF0   ? 4
                         : lead >= 0xE0 ? 3
                         : lead >= 0xC2 ? 2
                                        : 1;
  if (width == 1 || lead > 0xF4) return {};
  int32_t rune = lead & (0xFF >> (width + 1));
  for (uint32_t i = 1; i < width; ++i) {
    if (!IsContinuation(text, at + i)) return {};
    rune = rune << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3F);
  }
  static constexpr int32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = rune >= 0xD800 && rune < 0xE000;
  if (rune < kLeast[width] || rune > 0x10FFFF || surrogate) return {};
  return {rune, width};
}

void AppendRune(int32_t rune, std::string* out) {
  const auto put = [&](int32_t byte) { *out += static_cast<char>(byte); };
  if (rune < 0x80) {
    put(rune);
  } else if (rune < 0x800) {
    put(0xC0 | rune >> 6);
    put(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    put(0xE0 | rune >> 12);
    put(0x80 | (rune >> 6 & 0x3F));
    put(0x80 | (rune & 0x3F));
  } else {
    put(0xF0 | rune >> 18);
    put(0x80 | (rune >> 12 & 0x3F));
    put(0x80 | (rune >> 6 & 0x3F));
    put(0x80 | (rune & 0x3F));
  }
}

std::string QuoteRune(int32_t rune) {
  if (rune < 0 || rune > 0x10FFFF) rune = kReplacementRune;
  std::string out = "'";
  if (rune == '\'' || rune == '\\') {
    out += '\\';
    AppendRune(rune, &out);
  } else if (IsPrintable(rune)) {
    AppendRune(rune, &out);
  } else if (rune < 0x80) {
    // Quote knows the short names; only its quotes differ.
    const std::string quoted = Quote(std::string(1, static_cast<char>(rune)));
    out += quoted.substr(1, quoted.size() - 2);
  } else {
    out += rune < 0x10000 ? fmt::format("\\u{:04x}", rune)
                          : fmt::format("\\U{:08x}", rune);
  }
  return out + "'";
}

std::string DescribeRune(int32_t rune) {
  std::string out = fmt::format("U+{:04X}", rune);
  if (IsPrintable(rune)) {
    out += " '";
    AppendRune(rune, &out);
    out += "'";
  }
  return out;
}

std::string Unquote(std::string_view quoted) {
  const std::string_view inner = quoted.substr(1, quoted.size() - 2);
  if (quoted.front() == '`') return std::string(inner);
  std::string out;
  for (size_t at = 0; at < inner.size();) {
    if (inner[at] == '\\') {
      ++at;
      AppendEscape(inner, &at, &out);
    } else {
      out += inner[at++];
    }
  }
  return out;
}

absl::StatusOr<double> ParseNumber(std::string_view text) {
  if (const auto integer = ParseInteger(text)) {
    return static_cast<double>(*integer);
  }
  const std::string lower = absl::AsciiStrToLower({text.data(), text.size()});
  if (lower == "inf") return std::numeric_limits<double>::infinity();
  if (lower == "nan") return std::numeric_limits<double>::quiet_NaN();
  std::string plain;
  for (const char c : text) {
    if (c != '_') plain += c;
  }
  double value = 0;
  const char* end = plain.data() + plain.size();
  const auto result = absl::from_chars(plain.data(), end, value);
  const bool hex = lower.starts_with("0x");  // What fits is an integer.
  if (hex || result.ptr != end || !UnderscoresOk(text) ||
      result.ec == std::errc::invalid_argument) {
    return InvalidArgument("strconv.ParseFloat: parsing {}: invalid syntax",
                           Quote(text));
  }
  if (result.ec == std::errc::result_out_of_range && std::abs(value) > 1) {
    return InvalidArgument("strconv.ParseFloat: parsing {}: value out of range",
                           Quote(text));
  }
  return value;
}

std::string FormatFixed(double value) {
  if (const auto special = FormatSpecial(value)) return *special;
  const std::string sign = std::signbit(value) ? "-" : "";
  if (value == 0) return sign + "0";
  const Decimal d = ShortestDigits(std::abs(value));
  const int count = static_cast<int>(d.digits.size());
  if (d.exponent < 0) {
    return sign + "0." + std::string(-d.exponent - 1, '0') + d.digits;
  }
  if (d.exponent >= count - 1) {
    return sign + d.digits + std::string(d.exponent - count + 1, '0');
  }
  return sign + d.digits.substr(0, d.exponent + 1) + "." +
         d.digits.substr(d.exponent + 1);
}

std::string FormatGeneral(double value, int digits_max) {
  if (const auto special = FormatSpecial(value)) return *special;
  if (digits_max > 0) {
    // %g of C and of Go agree for a given number of digits.
    return fmt::format("{:.{}g}", value, digits_max);
  }
  if (value == 0) return FormatFixed(value);
  constexpr int kShortestDigits = 6;
  const Decimal d = ShortestDigits(std::abs(value));
  if (d.exponent >= -4 && d.exponent < kShortestDigits) {
    return FormatFixed(value);
  }
  std::string out = value < 0 ? "-" : "";
  out += d.digits[0];
  if (d.digits.size() > 1) out += "." + d.digits.substr(1);
  return out + fmt::format("e{}{:02}", d.exponent < 0 ? '-' : '+',
                           std::abs(d.exponent));
}

std::string FormatOpenMetrics(double value) {
  std::string text = FormatGeneral(value);
  const bool whole =
      std::isfinite(value) && text.find_first_of("e.") == std::string::npos;
  return whole ? text + ".0" : text;
}

}  // namespace varve::promql
