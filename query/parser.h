#pragma once

#include <absl/status/statusor.h>

#include <string_view>
#include <vector>

#include "query/ast.h"

namespace varve::promql {

inline constexpr size_t kQueryBytesMax = 1 << 20;
/// Height of the tree, brackets of all kinds included.
inline constexpr int kHeightMax = 1000;

/// Parses and type-checks a query of Prometheus 3.14's PromQL, experimental
/// constructs included. InvalidArgument with Prometheus's text:
/// `<line>:<column>: parse error: <what>`.
absl::StatusOr<ExprPtr> ParseExpr(std::string_view text);

/// Parses a series selector such as `up{job="x"}`, as in match[].
absl::StatusOr<std::vector<Matcher>> ParseMetricSelector(std::string_view text);

/// A duration of Prometheus's syntax (`1h30m`, `15s`, `0`), in milliseconds.
absl::StatusOr<int64_t> ParseDuration(std::string_view text);
/// `1h30m`; "0s" for 0.
std::string FormatDuration(int64_t ms);

/// `line:column` (from 1, columns in bytes) of a position, for messages.
std::string FormatPosition(std::string_view query, int32_t position);

}  // namespace varve::promql
