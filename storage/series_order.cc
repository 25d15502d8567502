#include "storage/series_order.h"

#include <algorithm>
#include <utility>

#include "storage/head_cursor.h"

namespace varve {
namespace {

// Many series share few pairs, so the pairs are sorted by their text once, and
// the series by the ranks of their pairs: a multikey quicksort, whose every
// step sorts a run of series that agree in all labels before by the next one.

using Series = std::span<const PairId>;

/// With so few series, or so few among so many pairs, ranking does not pay.
constexpr size_t kRankedSeriesMin = 512;
constexpr size_t kPairsPerEntryMax = 8;
/// Runs up to here are sorted by comparing series.
constexpr size_t kCompareMax = 12;

std::vector<uint32_t> OrderByComparing(const LabelIndex& index,
                                       std::span<const Series> series) {
  std::vector<std::pair<std::string_view, uint32_t>> order(series.size());
  for (uint32_t i = 0; i < series.size(); ++i) {
    order[i] = {MetricOf(index, series[i]), i};
  }
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    if (a.first.data() != b.first.data()) {
      if (const auto c = a.first <=> b.first; c != 0) return c < 0;
    }
    return index.Less(series[a.second], series[b.second]);
  });
  std::vector<uint32_t> out(series.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = order[i].second;
  return out;
}

class RankedOrder {
 public:
  /// `pair_limit` is above every pair.
  RankedOrder(const LabelIndex& index, std::span<const Series> series,
              PairId pair_limit)
      : series_(series), ranks_(pair_limit) {
    RankPairs(index);
  }

  std::vector<uint32_t> Sort() {
    entries_.resize(series_.size());
    for (uint32_t i = 0; i < entries_.size(); ++i) entries_[i].at = i;
    runs_.push_back({0, entries_.size(), 0});
    while (!runs_.empty()) {
      const Run run = runs_.back();
      runs_.pop_back();
      SortRun(run);
    }
    std::vector<uint32_t> out(entries_.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = entries_[i].at;
    return out;
  }

 private:
  /// A series and its key at the depth being sorted.
  struct Entry {
    uint32_t key = 0;
    uint32_t at = 0;
  };
  /// Entries that agree in all keys before `depth`.
  struct Run {
    size_t begin = 0;
    size_t end = 0;
    size_t depth = 0;
  };

  /// Ranks count from 1; equal text (a pair that was removed and came again)
  /// has the same rank.
  void RankPairs(const LabelIndex& index) {
    std::vector<std::pair<LabelView, PairId>> pairs;
    for (const Series& s : series_) {
      for (const PairId id : s) {
        if (std::exchange(ranks_[id], 1) == 0) {
          pairs.emplace_back(index.pair(id), id);
        }
      }
    }
    std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
      if (a.first.name.data() == b.first.name.data()) {
        return a.first.value < b.first.value;
      }
      return a.first < b.first;
    });
    uint32_t rank = 0;
    for (size_t i = 0; i < pairs.size(); ++i) {
      const auto& [label, id] = pairs[i];
      if (i == 0 || label != pairs[i - 1].first) ++rank;
      ranks_[id] = rank;
      if (label.name != kMetricName) continue;
      if (metric_begin_ == 0) metric_begin_ = rank;
      metric_end_ = rank + 1;
    }
  }

  /// The metric first, then the labels in their order; 0 when there are no
  /// more.
  uint32_t Key(const Series& s, size_t depth) const {
    if (depth > 0) return depth <= s.size() ? ranks_[s[depth - 1]] : 0;
    for (const PairId id : s) {
      const uint32_t rank = ranks_[id];
      if (rank >= metric_begin_ && rank < metric_end_) return rank;
    }
    return 0;
  }

  bool LessFrom(size_t depth, uint32_t a, uint32_t b) const {
    const Series& x = series_[a];
    const Series& y = series_[b];
    for (;; ++depth) {
      const uint32_t kx = Key(x, depth);
      const uint32_t ky = Key(y, depth);
      if (kx != ky) return kx < ky;
      if (depth > 0 && kx == 0) return false;
    }
  }

  void SortRun(Run run) {
    const auto begin = entries_.begin() + static_cast<ptrdiff_t>(run.begin);
    const auto end = entries_.begin() + static_cast<ptrdiff_t>(run.end);
    if (run.end - run.begin <= kCompareMax) {
      std::sort(begin, end, [&](const Entry& a, const Entry& b) {
        return LessFrom(run.depth, a.at, b.at);
      });
      return;
    }
    bool sorted = true;
    for (auto it = begin; it != end; ++it) {
      it->key = Key(series_[it->at], run.depth);
      sorted = sorted && (it == begin || (it - 1)->key <= it->key);
    }
    if (!sorted) {
      std::sort(begin, end,
                [](const Entry& a, const Entry& b) { return a.key < b.key; });
    }
    for (auto from = begin; from != end;) {
      auto to = from + 1;
      while (to != end && to->key == from->key) ++to;
      const bool ended = run.depth > 0 && from->key == 0;
      if (to - from > 1 && !ended) {
        runs_.push_back({static_cast<size_t>(from - entries_.begin()),
                         static_cast<size_t>(to - entries_.begin()),
                         run.depth + 1});
      }
      from = to;
    }
  }

  const std::span<const Series> series_;
  std::vector<uint32_t> ranks_;  // by pair, 0: not among these series
  uint32_t metric_begin_ = 0;    // ranks of metric names
  uint32_t metric_end_ = 0;
  std::vector<Entry> entries_;
  std::vector<Run> runs_;
};

}  // namespace

std::vector<uint32_t> SeriesOrder(const LabelIndex& index,
                                  std::span<const Series> series) {
  size_t entries = 0;
  PairId pair_max = 0;
  for (const Series& s : series) {
    entries += s.size();
    for (const PairId id : s) pair_max = std::max(pair_max, id);
  }
  if (series.size() < kRankedSeriesMin ||
      pair_max / kPairsPerEntryMax > entries) {
    return OrderByComparing(index, series);
  }
  return RankedOrder(index, series, pair_max + 1).Sort();
}

}  // namespace varve
