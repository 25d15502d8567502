#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/db.h"
#include "storage/labels.h"
#include "storage/matcher.h"
#include "storage/mutex.h"
#include "storage/sample.h"
#include "storage/string_hash.h"

namespace varve {

/// The newest exemplars of all series, at most so many. Thread-safe.
class ExemplarRing {
 public:
  explicit ExemplarRing(size_t capacity) : capacity_(capacity) {}

  /// As Prometheus: refused when it repeats the series' newest exemplar, is
  /// older than that, or has more than 128 characters of labels.
  bool Add(const Labels& series, const Exemplar& exemplar);

  /// Of the series that match any of the selectors, by series, in time order.
  std::vector<ExemplarSeries> Select(
      std::span<const std::vector<Matcher>> selectors, int64_t start_ms,
      int64_t end_ms) const;
  /// Everything, the oldest first.
  std::vector<std::pair<Labels, Exemplar>> All() const;
  int64_t size() const;

 private:
  struct Entry {
    Labels series;
    Exemplar exemplar;
  };

  const size_t capacity_;
  mutable Mutex mutex_;
  std::vector<Entry> ring_ ABSL_GUARDED_BY(mutex_);
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  /// Position of each series' newest exemplar, by packed labels.
  absl::flat_hash_map<std::string, size_t, StringHash, StringEqual> newest_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
