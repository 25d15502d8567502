#include "query/grouping.h"

namespace varve::promql {

Grouping::Grouping(const AggregateExpr& aggregate, QueryContext& query)
    : subset_(aggregate.without ? LabelSubset::Without(aggregate.grouping)
                                : LabelSubset::Only(aggregate.grouping)),
      held_(query),
      check_(query) {}

void Grouping::Clear() {
  held_.Clear();
  groups_.clear();
  known_.clear();
}

absl::Status Grouping::Add(const std::vector<SeriesInfo>& series,
                           std::vector<uint32_t>* group_of) {
  group_of->clear();
  group_of->reserve(series.size());
  std::vector<LabelView> key;
  std::vector<LabelView> key_before;
  uint32_t group = 0;
  for (const SeriesInfo& info : series) {
    VARVE_RETURN_IF_ERROR(check_());
    subset_.Pick(info.labels, &key);
    // Series come in order, so neighbours often belong together.
    if (group_of->empty() || key != key_before) {
      Labels labels = Labels::FromSorted(key);
      const auto next = static_cast<uint32_t>(groups_.size());
      const auto [it, is_new] =
          known_.try_emplace(std::string(labels.packed()), next);
      if (is_new) {
        VARVE_RETURN_IF_ERROR(held_.Add(2 * HeldBytes::BytesOf(labels)));
        groups_.push_back({std::move(labels), false});
      }
      group = it->second;
      key.swap(key_before);
    }
    if (info.drop_name) groups_[group].drop_name = true;
    group_of->push_back(group);
  }
  return absl::OkStatus();
}

}  // namespace varve::promql
