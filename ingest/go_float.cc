#include "ingest/go_float.h"

#include <absl/strings/charconv.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "storage/sample.h"

namespace varve {
namespace {

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

bool ParseWord(std::string_view text, bool has_sign, bool negative,
               double* value) {
  if (EqualsIgnoringCase(text, "inf") || EqualsIgnoringCase(text, "infinity")) {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    *value = negative ? -kInf : kInf;
    return true;
  }
  if (!has_sign && EqualsIgnoringCase(text, "nan")) {
    *value = std::bit_cast<double>(kNormalNanBits);
    return true;
  }
  return false;
}

/// Up to 15 digits: exact in a double, and most of what targets send.
bool ParseSmallInteger(std::string_view text, double* value) {
  if (text.empty() || text.size() > 15) return false;
  uint64_t n = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  *value = static_cast<double>(n);
  return true;
}

}  // namespace

bool ParseExpositionFloat(std::string_view text, double* value) {
  if (ParseSmallInteger(text, value)) return true;
  const bool has_sign = !text.empty() && (text[0] == '+' || text[0] == '-');
  const bool negative = has_sign && text[0] == '-';
  const std::string_view digits = text.substr(has_sign ? 1 : 0);
  if (digits.empty()) return false;
  const char first = digits[0];
  if (first != '.' && (first < '0' || first > '9')) {
    return ParseWord(digits, has_sign, negative, value);
  }
  const char* end = digits.data() + digits.size();
  double magnitude = 0;
  const auto result = std::from_chars(digits.data(), end, magnitude);
  if (result.ptr != end) return false;
  if (result.ec == std::errc::result_out_of_range) {
    // Above and below the range look alike here; Abseil tells them apart.
    absl::from_chars(digits.data(), end, magnitude);
    if (magnitude > 1) return false;
  } else if (result.ec != std::errc()) {
    return false;
  }
  if (std::isinf(magnitude)) return false;
  *value = negative ? -magnitude : magnitude;
  return true;
}

std::string FormatOpenMetricsFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  if (value == 0) return "0.0";  // -0 too
  char buffer[64];
  auto result = std::to_chars(buffer, buffer + sizeof(buffer), value,
                              std::chars_format::scientific);
  std::string text(buffer, result.ptr);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  // Go's %g with the shortest digits has an exponent below 1e-4 and from 1e6.
  if (exponent >= -4 && exponent < 6) {
    result = std::to_chars(buffer, buffer + sizeof(buffer), value,
                           std::chars_format::fixed);
    text.assign(buffer, result.ptr);
  }
  if (text.find_first_of("e.") == std::string::npos) text += ".0";
  return text;
}

}  // namespace varve
