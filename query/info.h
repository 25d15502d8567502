#pragma once

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// info(base, {selector}): the series of `base` with the labels of the info
/// metrics that have the same instance and job.
///
/// The selector's matchers for __name__ say which metrics those are
/// (target_info if there are none, and series of `base` that match them pass
/// unchanged); its other matchers say which labels are wanted (all, if there
/// are none), and a series of `base` for which there is no info metric is
/// dropped if one of them does not match the empty string. Labels that a series
/// has are not replaced. As the info series change, so do the labels: a series
/// of `base` becomes one series for each set of labels. Errors, at steps where
/// `base` has a sample: two info series of a metric with samples of the same
/// time, a histogram among them, two metrics that give a label two values.
///
/// The modifiers of the first selector inside `base` (@, offset) say which info
/// samples are looked at, as in Prometheus. `node` is the call.
absl::StatusOr<OperatorPtr> MakeInfo(const PlanNode& node, EvalContext& context,
                                     OperatorPtr base);

}  // namespace varve::promql
