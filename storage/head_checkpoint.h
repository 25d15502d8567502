#pragma once

#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string_view>
#include <vector>

#include "storage/head.h"
#include "storage/mutex.h"
#include "storage/wal.h"

namespace varve {

/// Writes all that the head holds as the records of a checkpoint
/// (storage/checkpoint.md), but for kEnd. Writers go on: they are kept out for
/// the copying of a few thousand series at a time, some tens of microseconds.
/// What they add meanwhile may be in the checkpoint or not, a batch as a whole
/// per series; it stands in the log as well, and storing it again changes
/// nothing. A few MiB of memory. REQUIRES: no seal and no collection of series
/// at the same time.
absl::Status WriteHeadCheckpoint(const Head& head, const Wal::AddRecord& add);

/// What HeadLoader did.
struct LoadReport {
  int64_t series = 0;
  int64_t samples = 0;
  int64_t sealed = 0;           ///< samples left out: they stand in a block
  int64_t too_old = 0;          ///< samples left out: beyond the retention
  int64_t malformed = 0;        ///< records and series that could not be used
  std::vector<SeriesRef> refs;  ///< of the series loaded
};

/// Puts the records of a checkpoint back into a head that nobody else uses.
class HeadLoader {
 public:
  /// Whether a block has all samples of the window, as far as the checkpoint
  /// has them.
  using IsSealed = std::function<bool(int64_t window)>;
  HeadLoader(Head* head, IsSealed is_sealed, int64_t time_min_ms)
      : head_(head),
        is_sealed_(std::move(is_sealed)),
        time_min_ms_(time_min_ms) {}

  /// A kHeadSeries payload. Thread-safe; `report` is added to.
  void LoadSeries(std::string_view payload, LoadReport* report);
  /// A kHeadSide payload, decoded, after the record with its series.
  void LoadSide(const WriteBatch& batch, LoadReport* report);
  /// A kHeadStarts payload, decoded; likewise.
  void LoadStarts(const WriteBatch& batch);
  /// After everything.
  void Finish(const LoadReport& report);

 private:
  struct Times {
    int64_t min = std::numeric_limits<int64_t>::max();
    int64_t max = std::numeric_limits<int64_t>::min();
  };
  bool Wanted(int64_t first_t, int64_t last_t, int64_t samples,
              LoadReport* report) const;
  bool Holds(SeriesRef ref) const {
    return !head_->table_.PairsOf(ref).empty();
  }
  void LoadChunks(const struct CheckpointSeries& series, LoadReport* report,
                  Times* times);
  void LoadOneByOne(SeriesRef ref, std::span<const uint64_t> words,
                    int64_t first_t, size_t count);
  /// Takes the refs that no other record has had.
  void Claim(std::span<const struct CheckpointSeries> series,
             std::vector<bool>* free);

  Head* const head_;
  const IsSealed is_sealed_;
  const int64_t time_min_ms_;
  Mutex mutex_;
  /// A checkpoint may name any ref, so not an array of them.
  absl::flat_hash_set<SeriesRef> claimed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
