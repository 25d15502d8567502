#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace varve {

/// Milliseconds of a duration as configurations write it: "1h30m", "15s", "0".
/// Units y w d h m s ms, each at most once and in this order; a year has 365
/// days. nullopt when it is none or does not fit Go's 292 years.
std::optional<int64_t> ParseDurationMs(std::string_view text);
/// The inverse, as Prometheus prints it: "1m30s", "1d", "0s".
std::string FormatDurationMs(int64_t ms);

/// Bytes of "512MB", "1GiB", "10B"; both forms count in 1024s. "0" needs no
/// unit. nullopt when it is none or does not fit.
std::optional<uint64_t> ParseByteSize(std::string_view text);
/// The inverse in the largest unit that divides: "512MiB".
std::string FormatByteSize(uint64_t bytes);

}  // namespace varve
