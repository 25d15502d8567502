#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "storage/block_store.h"
#include "storage/head.h"
#include "storage/wal.h"

namespace varve {

/// What the records of the log mean to the head: series are created under
/// their old refs, samples are stored again unless a block has them.
struct ReplayReport {
  WalReadReport wal;
  int64_t malformed = 0;  ///< intact records that could not be decoded
  int64_t samples = 0;
  int64_t sealed = 0;        ///< left out: they stand in a block
  int64_t too_old = 0;       ///< left out: beyond the retention
  int64_t unknown_refs = 0;  ///< samples whose series record is missing
  int64_t deleted = 0;       ///< taken out again by a deletion
  /// Series that could not get the ref of their record back: they must be
  /// logged again before they are used.
  std::vector<SeriesRef> moved;
};

/// Fills `head`, which is empty and used by nobody else. `deletions` ascend;
/// each takes place between the segments before its own and the others.
absl::Status ReplayWal(const WalOptions& options,
                       std::span<const SealMark> marks,
                       std::span<const DeletionPtr> deletions,
                       int64_t time_min_ms, Head* head, ReplayReport* report);

}  // namespace varve
