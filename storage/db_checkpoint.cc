#include <algorithm>

#include "storage/db_impl.h"
#include "storage/head_checkpoint.h"
#include "storage/status_macros.h"

namespace varve {

// A checkpoint with number K takes the place of all segments before K:
//
//   1. The log is rotated while no commit is under way: what stands in a
//      segment before K is in the head.
//   2. The head is written into a temporary file, while writers go on.
//   3. The file is synced and gets its name, and the name is synced: from here
//      on a start reads it and the segments from K on.
//   4. Segments and checkpoints before K are deleted, and with them seal marks
//      that nothing needs.
//
// What is committed during step 2 stands in segment K or later, and may be in
// the checkpoint as well: storing a sample a second time changes nothing.

namespace {

constexpr int64_t kRetryNs = int64_t{15} * 1'000'000'000;

}  // namespace

bool DbImpl::CheckpointIsDue() {
  if (retry_checkpoint_ns_ != 0 &&
      options_.clock->MonotonicNs() < retry_checkpoint_ns_) {
    return false;
  }
  const auto last =
      static_cast<uint64_t>(checkpoint_bytes_.load(std::memory_order_relaxed));
  return wal_->BytesFrom(checkpoint_segment_) >=
         std::max(options_.checkpoint_bytes, last);
}

absl::Status DbImpl::TryCheckpoint(uint64_t* segment, uint64_t* bytes) {
  // A start does not put earlier deletions to a checkpoint, so there must be no
  // doubt which there are.
  VARVE_RETURN_IF_ERROR(blocks_->UndoFailedWrite());
  // Commits wait for the rotation, which syncs what this leaves.
  VARVE_RETURN_IF_ERROR(wal_->Sync());
  {
    RoomGuard room(&commits_, TwoRooms::kSecond);
    VARVE_ASSIGN_OR_RETURN(*segment, wal_->Rotate());
  }
  VARVE_ASSIGN_OR_RETURN(
      *bytes,
      wal_->WriteCheckpoint(*segment, [this](const Wal::AddRecord& add) {
        return WriteHeadCheckpoint(*head_, add);
      }));
  return absl::OkStatus();
}

absl::Status DbImpl::WriteCheckpoint() {
  const int64_t begin_ns = options_.clock->MonotonicNs();
  uint64_t segment = 0;
  uint64_t bytes = 0;
  const absl::Status status = TryCheckpoint(&segment, &bytes);
  const int64_t end_ns = options_.clock->MonotonicNs();
  if (!status.ok()) {
    checkpoint_failures_.fetch_add(1, std::memory_order_relaxed);
    retry_checkpoint_ns_ = end_ns + kRetryNs;
    options_.logger.Error("db", "checkpoint: {}; the log stays as it is",
                          Message(status));
    return status;
  }
  retry_checkpoint_ns_ = 0;
  checkpoint_segment_ = segment;
  checkpoints_.fetch_add(1, std::memory_order_relaxed);
  checkpoint_bytes_.store(static_cast<int64_t>(bytes));
  checkpoint_seconds_.store(static_cast<double>(end_ns - begin_ns) * 1e-9);
  VARVE_RETURN_IF_ERROR(wal_->DeleteBefore(segment));
  head_->table().LogWasCutBefore(segment);
  return blocks_->ForgetMarks(segment);
}

void DbImpl::CheckpointAtClose() {
  if (wal_ == nullptr || !options_.checkpoint_on_close) return;
  MutexLock lock(&maintain_mutex_);
  if (wal_->BytesFrom(checkpoint_segment_) == 0) return;
  if (const absl::Status status = WriteCheckpoint(); !status.ok()) {
    options_.logger.Warn("db", "the next start will read the whole log: {}",
                         Message(status));
  }
}

}  // namespace varve
