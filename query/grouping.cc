#include "query/grouping.h"

#include <absl/container/flat_hash_map.h>

#include "query/label_key.h"

namespace varve::promql {

Grouping MakeGrouping(const AggregateExpr& aggregate,
                      const std::vector<SeriesInfo>& series) {
  const LabelSubset subset = aggregate.without
                                 ? LabelSubset::Without(aggregate.grouping)
                                 : LabelSubset::Only(aggregate.grouping);
  Grouping out;
  out.group_of.reserve(series.size());
  absl::flat_hash_map<std::string, uint32_t> known;
  for (const SeriesInfo& info : series) {
    Labels labels = subset.Of(info.labels);
    const auto next = static_cast<uint32_t>(out.groups.size());
    const auto [it, is_new] =
        known.try_emplace(std::string(labels.packed()), next);
    if (is_new) out.groups.push_back({std::move(labels), false});
    if (info.drop_name) out.groups[it->second].drop_name = true;
    out.group_of.push_back(it->second);
  }
  return out;
}

}  // namespace varve::promql
