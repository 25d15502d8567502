#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "storage/block_store.h"
#include "storage/db.h"
#include "storage/head.h"
#include "storage/head_replay.h"
#include "storage/mutex.h"
#include "storage/two_rooms.h"
#include "storage/wal.h"

namespace varve {

/// The Db: WAL + head + blocks.
///
/// Three pairs of rooms keep writers and the rare others apart, entered in this
/// order:
///   appenders_  appenders          | the collection of idle series
///   commits_    commits (log+store)| the rotation of the log for a seal
///   (Head's)    storing a batch    | taking a snapshot
///
/// Lock order: maintain_mutex_ -> appenders_ -> commits_ -> the WAL's queue |
/// the head's locks. compact_mutex_ is held with none of them.
class DbImpl final : public Db {
 public:
  explicit DbImpl(const DbOptions& options);
  ~DbImpl() override;
  absl::Status Start();

  std::unique_ptr<Appender> BeginAppend() override;
  uint64_t series_epoch() const override {
    return epoch_.load(std::memory_order_acquire);
  }
  const SeriesSource& source() const override { return *source_; }
  std::vector<std::pair<std::string, Metadata>> FamilyMetadata() const override;
  absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      std::span<const std::vector<Matcher>> selectors, int64_t start_ms,
      int64_t end_ms) const override;
  absl::Status Flush() override;
  absl::StatusOr<bool> Maintain() override;
  absl::StatusOr<std::string> Snapshot(bool skip_head) override;
  void SetOutOfOrderWindow(std::optional<int64_t> window_ms) override;
  void SetRetention(const RetentionPolicy& policy) override;
  absl::Status DeleteSeries(const Selectors& selectors,
                            TimeRange range) override;
  absl::Status CleanTombstones() override;
  DbStats Stats() const override;
  CardinalityStats Cardinality(size_t limit) const override;
  absl::Status Close() override;

 private:
  friend class DbAppender;
  friend class DbSource;

  /// What a commit works with; reused, since fresh memory costs page faults.
  struct Scratch {
    WriteBatch batch;
    std::string payload;
  };
  std::unique_ptr<Scratch> TakeScratch();
  void ReturnScratch(std::unique_ptr<Scratch> scratch);

  absl::StatusOr<SeriesRef> Resolve(const Labels& labels);
  absl::StatusOr<WriteResult> Commit(Scratch* scratch);
  /// Takes out of the batch what must not be logged. What is left lies in the
  /// range that it gives.
  CommitRange Filter(WriteBatch* batch, WriteResult* result) const;

  absl::Status OpenBlocks();
  absl::Status Replay();

  // Sealing, in db_seal.cc.
  /// Where the windows end that are due by themselves: those wholly older than
  /// the newest sample by half a window, as Prometheus cuts its blocks.
  int64_t DueCutoff() const;
  absl::Status SealBefore(int64_t cutoff_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  absl::Status SealStep(int64_t cutoff_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  absl::Status PublishSeal(const HeadSeal& seal, uint64_t segment);
  bool SealIsDue(int64_t cutoff_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  void CollectIdleSeries() ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  /// The part of Maintain() that holds nobody up for long.
  absl::StatusOr<bool> MaintainHead();
  // In db_snapshot.cc.
  absl::Status CopyWalBefore(uint64_t segment, const std::string& directory)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  absl::Status FillSnapshot(bool skip_head, const std::string& directory)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  void RemoveUnfinishedSnapshots();
  absl::StatusOr<bool> ApplyRetention()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);

  // Checkpoints, in db_checkpoint.cc.
  bool CheckpointIsDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  /// Writes one and deletes what of the log it replaces.
  absl::Status WriteCheckpoint() ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_);
  absl::Status TryCheckpoint(uint64_t* segment, uint64_t* bytes);
  void CheckpointAtClose();

  // In db_delete.cc.
  absl::Status CleanBlocks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(compact_mutex_);

  // Compaction, in db_compact.cc.
  /// Merges some blocks if any are due; whether it did anything.
  absl::StatusOr<bool> Compact();
  absl::Status CompactPlanned(std::span<const BlockInfo> inputs)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(compact_mutex_);
  bool DayIsComplete(int32_t day) const;
  absl::Status CheckRoomFor(std::span<const BlockInfo> blocks) const;

  /// Calls `step` now and then until the Db is closed.
  void RunInBackground(std::string_view name,
                       const std::function<absl::StatusOr<bool>()>& step);
  void RunSync();

  RetentionPolicy retention() const {
    return {.time_ms = retention_ms_.load(std::memory_order_relaxed),
            .bytes = retention_bytes_.load(std::memory_order_relaxed)};
  }

  const DbOptions options_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Head> head_;
  std::unique_ptr<Wal> wal_;
  std::unique_ptr<BlockStore> blocks_;
  std::unique_ptr<SeriesSource> source_;

  TwoRooms appenders_;
  TwoRooms commits_;
  std::atomic<uint64_t> epoch_{1};
  std::atomic<bool> has_out_of_order_window_{false};
  std::atomic<int64_t> out_of_order_window_ms_{0};
  /// The retention; 0: no limit.
  std::atomic<int64_t> retention_ms_{0};
  std::atomic<uint64_t> retention_bytes_{0};
  std::atomic<int64_t> rejected_[5] = {};
  ReplayReport replay_;
  double replay_seconds_ = 0;

  Mutex maintain_mutex_;  ///< one seal, checkpoint or deletion at a time
  /// The first segment that the newest checkpoint does not cover; 0: none.
  uint64_t checkpoint_segment_ ABSL_GUARDED_BY(maintain_mutex_) = 0;
  int64_t retry_checkpoint_ns_ ABSL_GUARDED_BY(maintain_mutex_) = 0;
  /// The last cutoff that Maintain() sealed by itself.
  int64_t due_cutoff_ms_ ABSL_GUARDED_BY(maintain_mutex_) =
      std::numeric_limits<int64_t>::min();
  int64_t last_seal_ns_ ABSL_GUARDED_BY(maintain_mutex_) = 0;
  /// After a failure; 0: none.
  int64_t retry_seal_ns_ ABSL_GUARDED_BY(maintain_mutex_) = 0;
  std::atomic<int64_t> seals_{0};
  std::atomic<int64_t> seal_failures_{0};
  std::atomic<int64_t> checkpoints_{0};
  std::atomic<int64_t> checkpoint_failures_{0};
  std::atomic<int64_t> checkpoint_bytes_{0};
  std::atomic<double> checkpoint_seconds_{0};
  std::atomic<int64_t> dropped_by_time_{0};
  std::atomic<int64_t> dropped_by_size_{0};
  std::atomic<int64_t> deletions_{0};
  std::atomic<int64_t> head_samples_deleted_{0};
  std::atomic<int64_t> blocks_cleaned_{0};

  /// Held by whoever rewrites blocks.
  Mutex compact_mutex_;
  /// Day and part of blocks that turned out to be damaged.
  std::set<std::pair<int32_t, uint16_t>> unmergeable_
      ABSL_GUARDED_BY(compact_mutex_);
  /// After a failure; 0: none.
  int64_t retry_compact_ns_ ABSL_GUARDED_BY(compact_mutex_) = 0;
  std::atomic<int64_t> compactions_{0};
  std::atomic<int64_t> compaction_failures_{0};
  std::atomic<int64_t> compaction_bytes_read_{0};
  std::atomic<int64_t> compaction_bytes_written_{0};

  Mutex scratch_mutex_;
  std::vector<std::unique_ptr<Scratch>> scratch_
      ABSL_GUARDED_BY(scratch_mutex_);

  Mutex stop_mutex_;
  CondVar stopped_;
  bool stop_ ABSL_GUARDED_BY(stop_mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(stop_mutex_) = false;
  std::atomic<bool> stopping_{false};  ///< for who cannot wait for stopped_
  std::thread maintenance_;
  std::thread compaction_;
  std::thread sync_;
};

}  // namespace varve
