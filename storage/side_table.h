#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "storage/mutex.h"
#include "storage/sample.h"
#include "storage/write_batch.h"

namespace varve {

/// What few series of the head have: samples out of order, native histograms,
/// start timestamps. Kept apart so that the in-order path pays nothing for
/// them. Thread-safe.
class SideTable {
 public:
  struct HistogramPoint {
    std::shared_ptr<const Histogram> histogram;
    int64_t start_timestamp_ms = kNoStartTimestamp;
  };
  /// Samples of a series in a time range, ascending.
  struct Slice {
    std::vector<std::pair<int64_t, double>> floats;
    std::vector<std::pair<int64_t, HistogramPoint>> histograms;
    std::vector<std::pair<int64_t, int64_t>> starts;  ///< of float samples
    bool empty() const { return floats.empty() && histograms.empty(); }
  };
  enum class Found : uint8_t { kNothing, kSame, kOther };

  /// Whether a sample with this time is there, and whether it is the same.
  Found FindFloat(SeriesRef ref, int64_t t, double value) const;
  Found FindHistogram(SeriesRef ref, int64_t t, const Histogram& h) const;

  void AddFloat(SeriesRef ref, int64_t t, double value);
  void AddHistogram(SeriesRef ref, int64_t t, HistogramPoint point);
  void AddStart(SeriesRef ref, int64_t t, int64_t start);
  /// The newest histogram's time, or INT64_MIN.
  int64_t HistogramMax(SeriesRef ref) const;

  Slice Read(SeriesRef ref, int64_t start_ms, int64_t end_ms) const;
  /// Takes out what a slice holds.
  void Erase(SeriesRef ref, const Slice& slice);
  void EraseSeries(SeriesRef ref);
  /// Takes out all in [start_ms, end_ms], start timestamps too; returns how
  /// many samples that were.
  int64_t EraseRange(SeriesRef ref, int64_t start_ms, int64_t end_ms);
  bool Has(SeriesRef ref) const;

  int64_t samples() const;
  /// Samples before `time_ms`. O(series with such samples).
  int64_t SamplesBefore(int64_t time_ms) const;
  /// INT64_MAX when there is none.
  int64_t min_time() const;

 private:
  struct Series {
    absl::btree_map<int64_t, double> floats;
    absl::btree_map<int64_t, HistogramPoint> histograms;
    absl::btree_map<int64_t, int64_t> starts;
    bool empty() const {
      return floats.empty() && histograms.empty() && starts.empty();
    }
  };
  struct Shard {
    mutable Mutex mutex;
    absl::flat_hash_map<SeriesRef, Series> series ABSL_GUARDED_BY(mutex);
  };
  static constexpr size_t kShards = 64;

  Shard& shard(SeriesRef ref) { return shards_[ref % kShards]; }
  const Shard& shard(SeriesRef ref) const { return shards_[ref % kShards]; }

  Shard shards_[kShards];
};

}  // namespace varve
