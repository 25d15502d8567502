#include <algorithm>

#include "storage/block_compactor.h"
#include "storage/db_impl.h"
#include "storage/status_macros.h"

namespace varve {

// How a deletion takes what was acknowledged before it, and nothing else:
//
//   1. No seal is under way, and no commit: what stands in a segment of the log
//      before P is in the head or in a block.
//   2. One synced batch writes the deletion with P into the manifest. From here
//      on queries leave its samples out of all blocks that there are.
//   3. The head lets go of its samples.
//
// After a crash replay does 3 again when it comes to segment P, unless it began
// with a checkpoint that was written later. A block that is sealed later holds
// nothing that was deleted, and says so by the number of the last deletion
// (BlockInfo::deletions_done); a block that is made of others says the same of
// those that were left out when it was made.

namespace {

/// Blocks may be replaced or dropped while they are about to be cleaned.
constexpr int kCleanRounds = 5;

}  // namespace

absl::Status DbImpl::DeleteSeries(const Selectors& selectors, TimeRange range) {
  if (range.first_ms > range.last_ms) return absl::OkStatus();
  MutexLock lock(&maintain_mutex_);
  VARVE_ASSIGN_OR_RETURN(bool any, blocks_->MayHold(selectors, range));
  any = any || !head_->Holding(selectors, range).empty();
  if (!any) return absl::OkStatus();
  int64_t from_head = 0;
  {
    RoomGuard room(&commits_, TwoRooms::kSecond);
    Deletion deletion;
    deletion.selectors = selectors;
    deletion.range = range;
    VARVE_ASSIGN_OR_RETURN(deletion.wal_segment, wal_->Rotate());
    VARVE_RETURN_IF_ERROR(blocks_->Delete(std::move(deletion)));
    from_head = head_->Delete(selectors, range);
  }
  deletions_.fetch_add(1, std::memory_order_relaxed);
  head_samples_deleted_.fetch_add(from_head, std::memory_order_relaxed);
  options_.logger.Info("db", "deleted {} from {} ms to {} ms",
                       SelectorsText(selectors), range.first_ms, range.last_ms);
  // Names and values that nobody has any more go with the series.
  CollectIdleSeries();
  return absl::OkStatus();
}

absl::Status DbImpl::CleanBlocks() {
  absl::Status first_error;
  for (int round = 0; round < kCleanRounds; ++round) {
    VARVE_ASSIGN_OR_RETURN(const std::vector<BlockInfo> blocks,
                           blocks_->BlocksToClean());
    first_error = absl::OkStatus();
    bool gone = false;
    for (const BlockInfo& block : blocks) {
      CompactReport report;
      CompactOptions options;
      options.cancelled = [this] {
        return stopping_.load(std::memory_order_relaxed);
      };
      const absl::Status status =
          CompactBlocks(blocks_.get(), {&block, 1}, options, &report);
      if (status.ok()) blocks_cleaned_.fetch_add(1, std::memory_order_relaxed);
      if (absl::IsCancelled(status)) return status;
      gone |= absl::IsAborted(status);
      first_error.Update(status);
    }
    if (!gone) break;
  }
  return first_error;
}

absl::Status DbImpl::CleanTombstones() {
  absl::Status status;
  {
    MutexLock lock(&compact_mutex_);
    status = CleanBlocks();
  }
  MutexLock lock(&maintain_mutex_);
  CollectIdleSeries();
  // The log may hold what was deleted, and keeps the deletions.
  if (!blocks_->deletions().empty()) status.Update(WriteCheckpoint());
  return status;
}

}  // namespace varve
