#include "storage/side_table.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace varve {
namespace {

template <typename Map, typename T>
void Copy(const Map& map, int64_t start_ms, int64_t end_ms,
          std::vector<std::pair<int64_t, T>>* out) {
  for (auto it = map.lower_bound(start_ms);
       it != map.end() && it->first <= end_ms; ++it) {
    out->emplace_back(it->first, it->second);
  }
}

}  // namespace

SideTable::Found SideTable::FindFloat(SeriesRef ref, int64_t t,
                                      double value) const {
  const Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  const auto it = s.series.find(ref);
  if (it == s.series.end()) return Found::kNothing;
  if (it->second.histograms.contains(t)) return Found::kOther;
  const auto at = it->second.floats.find(t);
  if (at == it->second.floats.end()) return Found::kNothing;
  return std::bit_cast<uint64_t>(at->second) == std::bit_cast<uint64_t>(value)
             ? Found::kSame
             : Found::kOther;
}

SideTable::Found SideTable::FindHistogram(SeriesRef ref, int64_t t,
                                          const Histogram& h) const {
  const Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  const auto it = s.series.find(ref);
  if (it == s.series.end()) return Found::kNothing;
  if (it->second.floats.contains(t)) return Found::kOther;
  const auto at = it->second.histograms.find(t);
  if (at == it->second.histograms.end()) return Found::kNothing;
  return BitEqual(*at->second.histogram, h) ? Found::kSame : Found::kOther;
}

void SideTable::AddFloat(SeriesRef ref, int64_t t, double value) {
  Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  s.series[ref].floats.emplace(t, value);
}

void SideTable::AddHistogram(SeriesRef ref, int64_t t, HistogramPoint point) {
  Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  s.series[ref].histograms.emplace(t, std::move(point));
}

void SideTable::AddStart(SeriesRef ref, int64_t t, int64_t start) {
  Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  s.series[ref].starts.emplace(t, start);
}

int64_t SideTable::HistogramMax(SeriesRef ref) const {
  const Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  const auto it = s.series.find(ref);
  if (it == s.series.end() || it->second.histograms.empty()) {
    return std::numeric_limits<int64_t>::min();
  }
  return it->second.histograms.rbegin()->first;
}

SideTable::Slice SideTable::Read(SeriesRef ref, int64_t start_ms,
                                 int64_t end_ms) const {
  Slice slice;
  const Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  const auto it = s.series.find(ref);
  if (it == s.series.end()) return slice;
  Copy(it->second.floats, start_ms, end_ms, &slice.floats);
  Copy(it->second.histograms, start_ms, end_ms, &slice.histograms);
  Copy(it->second.starts, start_ms, end_ms, &slice.starts);
  return slice;
}

void SideTable::Erase(SeriesRef ref, const Slice& slice) {
  Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  const auto it = s.series.find(ref);
  if (it == s.series.end()) return;
  Series& series = it->second;
  for (const auto& [t, value] : slice.floats) series.floats.erase(t);
  for (const auto& [t, point] : slice.histograms) series.histograms.erase(t);
  for (const auto& [t, start] : slice.starts) series.starts.erase(t);
  if (series.empty()) s.series.erase(it);
}

void SideTable::EraseSeries(SeriesRef ref) {
  Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  s.series.erase(ref);
}

int64_t SideTable::EraseRange(SeriesRef ref, int64_t start_ms, int64_t end_ms) {
  Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  const auto it = s.series.find(ref);
  if (it == s.series.end()) return 0;
  Series& series = it->second;
  int64_t erased = 0;
  const auto erase = [&](auto* map, bool samples) {
    const auto from = map->lower_bound(start_ms);
    const auto to = map->upper_bound(end_ms);
    if (samples) erased += std::distance(from, to);
    map->erase(from, to);
  };
  erase(&series.floats, true);
  erase(&series.histograms, true);
  erase(&series.starts, false);
  if (series.empty()) s.series.erase(it);
  return erased;
}

bool SideTable::Has(SeriesRef ref) const {
  const Shard& s = shard(ref);
  MutexLock lock(&s.mutex);
  return s.series.contains(ref);
}

int64_t SideTable::samples() const {
  return SamplesBefore(std::numeric_limits<int64_t>::max());
}

int64_t SideTable::SamplesBefore(int64_t time_ms) const {
  int64_t n = 0;
  for (const Shard& s : shards_) {
    MutexLock lock(&s.mutex);
    for (const auto& [ref, series] : s.series) {
      n += std::distance(series.floats.begin(),
                         series.floats.lower_bound(time_ms));
      n += std::distance(series.histograms.begin(),
                         series.histograms.lower_bound(time_ms));
    }
  }
  return n;
}

int64_t SideTable::min_time() const {
  int64_t min = std::numeric_limits<int64_t>::max();
  for (const Shard& s : shards_) {
    MutexLock lock(&s.mutex);
    for (const auto& [ref, series] : s.series) {
      if (!series.floats.empty()) {
        min = std::min(min, series.floats.begin()->first);
      }
      if (!series.histograms.empty()) {
        min = std::min(min, series.histograms.begin()->first);
      }
    }
  }
  return min;
}

}  // namespace varve
