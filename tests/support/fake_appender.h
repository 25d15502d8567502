#pragma once

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "storage/db.h"
#include "storage/mutex.h"

namespace varve {

/// The writing half of a database as a map: what ingest's tests and benchmarks
/// write to. Rejects another value for a timestamp, and whatever `too_old_ms`
/// says. Thread-safe.
class FakeStore {
 public:
  struct Series {
    Labels labels;
    std::map<int64_t, double> floats;
    std::map<int64_t, int64_t> starts;  ///< of floats that have one
    std::map<int64_t, std::shared_ptr<const Histogram>> histograms;
    std::vector<Exemplar> exemplars;
  };

  std::unique_ptr<Appender> BeginAppend();
  /// Null when there is no such series.
  const Series* Find(const Labels& labels) const;
  size_t series_count() const { return series_.size(); }
  const std::map<std::string, Metadata>& metadata() const { return metadata_; }

  /// Forgets all series, so that refs become invalid.
  void Collect();

  /// Samples before this are too old.
  int64_t too_old_ms = INT64_MIN;
  /// What Commit and Resolve answer, when not OK.
  absl::Status commit_status;
  absl::Status resolve_status;
  /// False: samples are counted, not kept. For benchmarks.
  bool keep = true;
  int64_t resolves = 0;
  int64_t samples = 0;
  int64_t commits = 0;

 private:
  friend class FakeAppender;

  Mutex mutex_;
  uint64_t epoch_ = 1;
  std::map<Labels, SeriesRef> refs_;
  std::vector<Series> series_;
  std::map<std::string, Metadata> metadata_;
};

}  // namespace varve
