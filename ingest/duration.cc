#include "ingest/duration.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace varve {
namespace {

struct Unit {
  std::string_view name;
  int64_t ms;
  bool printed_only_if_exact;
};

constexpr std::array<Unit, 7> kUnits = {{
    {"y", 365LL * 24 * 3600 * 1000, true},
    {"w", 7LL * 24 * 3600 * 1000, true},
    {"d", 24LL * 3600 * 1000, true},
    {"h", 3600LL * 1000, false},
    {"m", 60LL * 1000, false},
    {"s", 1000, false},
    {"ms", 1, false},
}};

// Go keeps durations in nanoseconds.
constexpr int64_t kMsMax = INT64_MAX / 1000000;

// Cuts the leading digits; nullopt without any or when they overflow.
std::optional<int64_t> TakeNumber(std::string_view* text) {
  int64_t n = 0;
  const char* begin = text->data();
  const char* end = begin + text->size();
  if (begin == end || *begin < '0' || *begin > '9') return std::nullopt;
  const auto [at, error] = std::from_chars(begin, end, n);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(at - begin);
  return n;
}

}  // namespace

std::optional<int64_t> ParseDurationMs(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  int64_t total = 0;
  size_t unit = 0;
  while (!text.empty()) {
    const std::optional<int64_t> n = TakeNumber(&text);
    if (!n) return std::nullopt;
    size_t letters = 0;
    while (letters < text.size() && text[letters] >= 'a' &&
           text[letters] <= 'z') {
      ++letters;
    }
    const std::string_view name = text.substr(0, letters);
    while (unit < kUnits.size() && kUnits[unit].name != name) ++unit;
    if (unit == kUnits.size()) return std::nullopt;
    text.remove_prefix(letters);
    if (*n > (kMsMax - total) / kUnits[unit].ms) return std::nullopt;
    total += *n * kUnits[unit].ms;
    ++unit;
  }
  return total;
}

std::string FormatDurationMs(int64_t ms) {
  if (ms == 0) return "0s";
  std::string out;
  for (const Unit& unit : kUnits) {
    if (unit.printed_only_if_exact && ms % unit.ms != 0) continue;
    if (const int64_t n = ms / unit.ms; n > 0) {
      out += fmt::format("{}{}", n, unit.name);
      ms -= n * unit.ms;
    }
  }
  return out;
}

namespace {

constexpr std::string_view kByteUnits = "KMGTPE";

}  // namespace

std::optional<uint64_t> ParseByteSize(std::string_view text) {
  if (text == "0") return 0;
  const size_t digits = text.find_first_not_of("0123456789.");
  if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
  double n = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + digits, n,
                                           std::chars_format::fixed);
  if (error != std::errc() || at != text.data() + digits) return std::nullopt;
  std::string_view unit = text.substr(digits);
  if (unit != "B") {
    const size_t power = kByteUnits.find(unit.front());
    if (power == std::string_view::npos) return std::nullopt;
    unit.remove_prefix(1);
    if (unit != "B" && unit != "iB") return std::nullopt;
    n = std::ldexp(n, 10 * static_cast<int>(power + 1));
  }
  if (n >= 9.2e18) return std::nullopt;
  return static_cast<uint64_t>(n);
}

std::string FormatByteSize(uint64_t bytes) {
  int power = 0;
  while (bytes != 0 && bytes % 1024 == 0 &&
         power < static_cast<int>(kByteUnits.size())) {
    bytes /= 1024;
    ++power;
  }
  if (power == 0) return fmt::format("{}B", bytes);
  return fmt::format("{}{}iB", bytes, kByteUnits[power - 1]);
}

}  // namespace varve
