#pragma once

#include <absl/container/flat_hash_map.h>

#include <string>
#include <vector>

#include "query/bounds.h"
#include "query/label_key.h"
#include "query/operator.h"

namespace varve::promql {

/// Groups series by (or without) the labels that an aggregation names. A group
/// is marked drop_name as soon as one of its series is. Single-thread.
class Grouping {
 public:
  Grouping(const AggregateExpr& aggregate, QueryContext& query);

  /// Replaces `group_of` by the group of each of these series, into groups().
  /// May be called for one batch of series after the other.
  absl::Status Add(const std::vector<SeriesInfo>& series,
                   std::vector<uint32_t>* group_of);
  /// As new.
  void Clear();

  /// In the order of first appearance.
  const std::vector<SeriesInfo>& groups() const { return groups_; }

 private:
  const LabelSubset subset_;
  HeldBytes held_;
  PacedCheck check_;
  std::vector<SeriesInfo> groups_;
  absl::flat_hash_map<std::string, uint32_t> known_;
};

}  // namespace varve::promql
