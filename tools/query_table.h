#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace varve {

/// How an answer of the API is shown.
enum class QueryView { kTable, kPlot };

/// The text for a person of an answer's JSON body: a table of series and their
/// values, or, of a range, a line per series with its course drawn in blocks.
/// Warnings stand below. An answer that is an error gives FailedPrecondition
/// with its text; what is no answer of the API InvalidArgument.
absl::StatusOr<std::string> QueryText(std::string_view body, QueryView view);

/// The course of some values as `▁▃█`, at most `width` blocks; NaN is a space.
std::string Sparkline(const std::vector<double>& values, size_t width);

}  // namespace varve
