#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace varve::promql {

// What windows that overlap have in common, so that a sample is not looked at
// again for every window that holds it. Compiled with -O3 for the vectors.

/// True if any of the values is the stale marker.
bool HasStale(std::span<const double> values);

/// The places i > 0 where values[i] < values[i - 1], ascending, into `resets`.
void FindResets(std::span<const double> values, std::vector<uint32_t>* resets);

/// Per place how many of the values up to it differ from the one before; a NaN
/// does not differ from another.
void CountChanges(std::span<const double> values,
                  std::vector<uint32_t>* changes);
/// The same for values below the one before.
void CountResets(std::span<const double> values, std::vector<uint32_t>* resets);

/// The largest (or smallest) of the values of any window of a series: the
/// first of equals, NaN only where there is nothing else. Extremes of blocks
/// are computed once and used by every window that holds the block.
template <bool kMax>
class Extremes {
 public:
  /// `values` must outlive this; `window_samples` of all windows together.
  Extremes(std::span<const double> values, size_t window_samples);
  /// REQUIRES: begin < end <= size of the values.
  double Of(size_t begin, size_t end) const;

 private:
  const std::span<const double> values_;
  std::vector<double> blocks_;  ///< empty when blocks do not pay
};

/// The values of a window in order, NaN first. A step to the next window merges
/// what comes and goes.
class SortedWindow {
 public:
  explicit SortedWindow(std::span<const double> values) : values_(values) {}

  /// REQUIRES: neither end moves back.
  void MoveTo(size_t begin, size_t end);
  size_t size() const { return keys_.size(); }
  /// The i-th smallest.
  double operator[](size_t i) const;

 private:
  void Sort(size_t begin, size_t end, std::vector<uint64_t>* keys) const;
  void Merge();

  const std::span<const double> values_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::vector<uint64_t> keys_;  ///< integers that sort as the values do
  std::vector<uint64_t> leaving_;
  std::vector<uint64_t> coming_;
  std::vector<uint64_t> merged_;
};

}  // namespace varve::promql
