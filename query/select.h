#pragma once

#include <memory>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// The series that a selector finds, and how to read each.
struct SelectedSeries {
  std::vector<SeriesInfo> infos;
  std::vector<std::unique_ptr<SeriesCursor>> cursors;
};

/// Asks the source for the series of a selector node. Samples are wanted in
/// (window_ms before the first step, the last step], as the node's anchor
/// shifts and its extension widens them.
absl::StatusOr<SelectedSeries> SelectSeries(EvalContext& context,
                                            const VectorSelector& selector,
                                            const PlanNode& node,
                                            const StepGrid& grid,
                                            int64_t window_ms);

}  // namespace varve::promql
