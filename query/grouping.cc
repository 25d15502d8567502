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
  std::vector<LabelView> key;
  std::vector<LabelView> key_before;
  uint32_t group = 0;
  for (const SeriesInfo& info : series) {
    subset.Pick(info.labels, &key);
    // Series come in order, so neighbours often belong together.
    if (out.groups.empty() || key != key_before) {
      Labels labels = Labels::FromSorted(key);
      const auto next = static_cast<uint32_t>(out.groups.size());
      const auto [it, is_new] =
          known.try_emplace(std::string(labels.packed()), next);
      if (is_new) out.groups.push_back({std::move(labels), false});
      group = it->second;
      key.swap(key_before);
    }
    if (info.drop_name) out.groups[group].drop_name = true;
    out.group_of.push_back(group);
  }
  return out;
}

}  // namespace varve::promql
