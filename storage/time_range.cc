#include "storage/time_range.h"

#include <algorithm>
#include <limits>

namespace varve {

void AddRange(TimeRange range, std::vector<TimeRange>* ranges) {
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  // The first that ends where the new one begins, or later.
  const auto begin =
      std::find_if(ranges->begin(), ranges->end(), [&](const TimeRange& r) {
        return r.last_ms == kLast || r.last_ms + 1 >= range.first_ms;
      });
  auto end = begin;
  for (; end != ranges->end() &&
         (range.last_ms == kLast || end->first_ms <= range.last_ms + 1);
       ++end) {
    range.first_ms = std::min(range.first_ms, end->first_ms);
    range.last_ms = std::max(range.last_ms, end->last_ms);
  }
  ranges->insert(ranges->erase(begin, end), range);
}

size_t RemoveSamples(std::span<const TimeRange> ranges,
                     SampleColumns* columns) {
  const auto& times = columns->timestamps;
  const size_t n = times.size();
  size_t kept = 0;
  size_t at = 0;
  const auto keep = [&](size_t end) {
    const auto move = [&](auto* column) {
      if (column->empty() || kept == at) return;
      std::move(column->begin() + static_cast<ptrdiff_t>(at),
                column->begin() + static_cast<ptrdiff_t>(end),
                column->begin() + static_cast<ptrdiff_t>(kept));
    };
    move(&columns->values);
    move(&columns->histograms);
    move(&columns->start_timestamps);
    move(&columns->timestamps);
    kept += end - at;
    at = end;
  };
  for (const TimeRange& range : ranges) {
    const auto from = times.begin() + static_cast<ptrdiff_t>(at);
    const auto first = std::lower_bound(from, times.end(), range.first_ms);
    const auto last = std::upper_bound(first, times.end(), range.last_ms);
    if (first == last) continue;
    const auto behind = static_cast<size_t>(last - times.begin());
    keep(static_cast<size_t>(first - times.begin()));
    at = behind;
  }
  if (at == kept) return 0;  // nothing was left out
  keep(n);
  const auto cut = [&](auto* column) {
    if (!column->empty()) column->resize(kept);
  };
  cut(&columns->values);
  cut(&columns->histograms);
  cut(&columns->start_timestamps);
  cut(&columns->timestamps);
  columns->timestamps_id = 0;
  return n - kept;
}

}  // namespace varve
