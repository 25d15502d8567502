#pragma once

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// What an instant selector gives for a step.
enum class ScanValue : uint8_t {
  kSample,     ///< the sample
  kTimestamp,  ///< its time in seconds, for timestamp()
};

/// An instant vector selector: at each step the newest sample of each series in
/// (t - lookback, t], unless that is a stale marker.
absl::StatusOr<OperatorPtr> MakeScan(const PlanNode& node, EvalContext& context,
                                     const StepGrid& grid, ScanValue value);

}  // namespace varve::promql
