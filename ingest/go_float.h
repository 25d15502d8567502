#pragma once

#include <string>
#include <string_view>

namespace varve {

/// Reads a float the way Prometheus's text parsers do: decimal only, "inf",
/// "infinity" (with a sign) and "nan" (without) in any case; a number beyond
/// the range is an error, one below it is 0. NaN is kNormalNanBits. False: not
/// a number.
bool ParseExpositionFloat(std::string_view text, double* value);

/// Writes a float as OpenMetrics wants it in "le" and "quantile": the shortest
/// digits, always with a point or an exponent ("1.0", "1e+06", "+Inf").
std::string FormatOpenMetricsFloat(double value);

}  // namespace varve
