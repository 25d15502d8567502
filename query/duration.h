#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

#include "query/ast.h"

namespace varve::promql {

/// What step() and range() stand for, in seconds; both 0 in an instant query.
struct DurationContext {
  double step_seconds = 0;
  double range_seconds = 0;
};

/// The milliseconds that a duration expression gives. InvalidArgument when it
/// divides by zero, is out of range, or is not positive although it must be.
absl::StatusOr<int64_t> EvaluateDuration(const DurationExpr& expr,
                                         const DurationContext& context,
                                         bool negative_allowed);

}  // namespace varve::promql
