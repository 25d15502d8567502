#pragma once

#include "query/scan.h"

namespace varve::promql {

/// `selector smoothed`: at each step the value between the samples before and
/// after it, by linear interpolation; the last one where none follows.
absl::StatusOr<OperatorPtr> MakeSmoothedScan(const PlanNode& node,
                                             EvalContext& context,
                                             const StepGrid& grid,
                                             ScanValue value);

}  // namespace varve::promql
