#pragma once

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// start_timestamp() directly over a selector: the start timestamp, in seconds,
/// of the sample that the selector shows; 0 where it has none.
absl::StatusOr<OperatorPtr> MakeStartScan(const PlanNode& selector,
                                          EvalContext& context,
                                          const StepGrid& grid);

}  // namespace varve::promql
