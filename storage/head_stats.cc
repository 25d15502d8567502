#include <algorithm>

#include "storage/head.h"

namespace varve {
namespace {

std::vector<CardinalityStats::Entry> Largest(
    std::vector<CardinalityStats::Entry> entries, size_t limit) {
  const size_t n = std::min(limit, entries.size());
  std::partial_sort(
      entries.begin(), entries.begin() + static_cast<ptrdiff_t>(n),
      entries.end(), [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
      });
  entries.resize(n);
  return entries;
}

}  // namespace

void Head::FillStats(DbStats* stats) const {
  stats->head_series = table_.size();
  stats->head_series_created = table_.created();
  stats->head_series_removed = table_.removed();
  stats->head_samples_appended = appended_.load(std::memory_order_relaxed);
  stats->head_min_ms = min_ms();
  stats->head_max_ms = max_ms();
  stats->exemplars = exemplars_.size();
  int64_t bytes =
      table_.bytes() + memory_->labels.bytes() + memory_->index.bytes();
  for (const SlabArena& blocks : memory_->blocks) bytes += blocks.bytes();
  for (const auto& chunks : Windows()) {
    stats->head_chunks += chunks->chunks();
    bytes += chunks->bytes();
  }
  stats->head_bytes = bytes;
}

CardinalityStats Head::Cardinality(size_t limit) const {
  std::vector<LabelIndex::PairCount> pairs;
  std::vector<LabelIndex::NameCount> names;
  memory_->index.Count(&pairs, &names);
  CardinalityStats out;
  out.series = table_.size();
  out.label_pairs = static_cast<int64_t>(pairs.size());
  for (const auto& name : names) {
    out.values_by_label.emplace_back(name.name, name.values);
    out.bytes_by_label.emplace_back(name.name, name.bytes);
  }
  for (const auto& pair : pairs) {
    if (pair.name == kMetricName) {
      out.series_by_metric.emplace_back(pair.value, pair.series);
    }
    out.series_by_pair.emplace_back(pair.name + "=" + pair.value, pair.series);
  }
  out.series_by_metric = Largest(std::move(out.series_by_metric), limit);
  out.values_by_label = Largest(std::move(out.values_by_label), limit);
  out.bytes_by_label = Largest(std::move(out.bytes_by_label), limit);
  out.series_by_pair = Largest(std::move(out.series_by_pair), limit);
  return out;
}

}  // namespace varve
