#pragma once

#include <unordered_map>

#include "query/explanation.h"
#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// Costs by node, while a query runs. Single-thread.
using Profile = std::unordered_map<const PlanNode*, OperatorCost>;

/// Gives what `inner` gives and counts it for `node`.
OperatorPtr MakeProfiled(const PlanNode& node, EvalContext& context,
                         Profile* profile, OperatorPtr inner);

/// `profile`: null when the query did not run.
Explanation Explain(const PlanNode& node, const Profile* profile);

}  // namespace varve::promql
