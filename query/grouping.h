#pragma once

#include <vector>

#include "query/operator.h"

namespace varve::promql {

/// Which group each input series of an aggregation belongs to.
struct Grouping {
  std::vector<uint32_t> group_of;  ///< by input series
  std::vector<SeriesInfo> groups;  ///< in the order of first appearance
};

/// Groups series by (or without) the labels that the aggregation names. A group
/// is marked drop_name as soon as one of its series is.
Grouping MakeGrouping(const AggregateExpr& aggregate,
                      const std::vector<SeriesInfo>& series);

}  // namespace varve::promql
