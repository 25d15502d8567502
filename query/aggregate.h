#pragma once

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

// Aggregations take their input and, where they have one, the operator of
// their scalar parameter. Rows are folded into their group as they come, so
// memory is for the groups and not for the series, except where a function
// needs all values (quantile, count_values).

/// sum, avg, count, min, max, group, stddev, stdvar, quantile.
absl::StatusOr<OperatorPtr> MakeAggregate(const PlanNode& node,
                                          EvalContext& context,
                                          OperatorPtr input,
                                          OperatorPtr parameter);

/// topk, bottomk, limitk, limit_ratio: some of the input's points.
absl::StatusOr<OperatorPtr> MakeSelection(const PlanNode& node,
                                          EvalContext& context,
                                          OperatorPtr input,
                                          OperatorPtr parameter);

/// count_values: one series per group and value.
absl::StatusOr<OperatorPtr> MakeCountValues(const PlanNode& node,
                                            EvalContext& context,
                                            OperatorPtr input);

}  // namespace varve::promql
