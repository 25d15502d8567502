#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/clock.h"
#include "storage/deletion.h"
#include "storage/file_system.h"
#include "storage/log.h"
#include "storage/retention_policy.h"
#include "storage/series_source.h"
#include "storage/write_batch.h"

namespace varve {

/// When the WAL is synced to the device.
enum class FsyncMode {
  kAlways,    ///< before every acknowledgement, many writers per sync
  kInterval,  ///< at most a second after the acknowledgement
  kNever,     ///< when the operating system likes
};

/// How far the reading of the log has come; readable by any thread meanwhile.
struct ReplayProgress {
  std::atomic<uint64_t> segment_min{0};  ///< the first to be read
  std::atomic<uint64_t> segment_max{0};
  std::atomic<uint64_t> segment{0};  ///< being read, or the last one
  std::atomic<int64_t> bytes{0};     ///< read, of the checkpoint and segments
  std::atomic<int64_t> bytes_total{0};
};

struct DbOptions {
  std::string directory;
  FileSystem* fs = FileSystem::Posix();
  Clock* clock = Clock::System();
  Logger logger;
  FsyncMode wal_fsync = FsyncMode::kInterval;
  /// 45 days.
  RetentionPolicy retention = {.time_ms = int64_t{45} * 24 * 3600 * 1000};
  /// Samples older than the newest of their series by more than this are
  /// rejected; nullopt: any age inside the retention is accepted.
  std::optional<int64_t> out_of_order_window_ms;
  /// Samples further ahead of the clock than this are rejected.
  int64_t ahead_ms_max = 10 * 60 * 1000;
  /// Length of a sealed window, aligned to multiples of itself; divides a day.
  int64_t window_ms = int64_t{2} * 3600 * 1000;
  uint64_t wal_segment_bytes = uint64_t{128} << 20;
  /// A checkpoint is written when the log has grown by so many bytes since the
  /// last one, and by as many as that one has: so a restart reads a bounded
  /// amount, and what is written at most doubles.
  uint64_t checkpoint_bytes = uint64_t{32} << 20;
  /// Close() writes one, for a quick start.
  bool checkpoint_on_close = true;
  /// Filled while the Db is opened; null: nobody looks.
  std::shared_ptr<ReplayProgress> progress;
  /// Threads that do what Maintain() does; tests set false and call it.
  bool background = true;
};

/// Numbers for /metrics and status/tsdb.
struct DbStats {
  int64_t head_series = 0;
  int64_t head_series_created = 0;
  int64_t head_series_removed = 0;
  int64_t head_samples_appended = 0;
  int64_t head_min_ms = 0;  ///< INT64_MAX when the head is empty
  int64_t head_max_ms = 0;  ///< INT64_MIN when the head is empty
  int64_t head_chunks = 0;
  int64_t head_bytes = 0;
  int64_t samples_rejected[5] = {};  ///< indexed by Rejection
  int64_t wal_bytes = 0;             ///< on disk now
  int64_t wal_segments = 0;
  int64_t wal_fsyncs = 0;
  int64_t wal_corruptions = 0;  ///< bad records found at replay
  int64_t blocks = 0;
  int64_t blocks_damaged = 0;  ///< set aside
  int64_t block_bytes = 0;
  int64_t block_series = 0;  ///< summed over blocks
  int64_t block_samples = 0;
  int64_t block_min_ms = 0;  ///< INT64_MAX without blocks
  int64_t seals = 0;
  int64_t seal_failures = 0;
  int64_t blocks_dropped_by_time = 0;  ///< by the retention, since the start
  int64_t blocks_dropped_by_size = 0;
  int64_t compactions = 0;  ///< merges of blocks
  int64_t compaction_failures = 0;
  int64_t compaction_bytes_read = 0;  ///< of the blocks that were merged
  int64_t compaction_bytes_written = 0;
  int64_t exemplars = 0;
  int64_t checkpoints = 0;  ///< written by this process
  int64_t checkpoint_failures = 0;
  int64_t checkpoint_bytes = 0;   ///< of the last one
  double checkpoint_seconds = 0;  ///< that its writing took
  int64_t deletions = 0;          ///< that changed something, since the start
  int64_t deletions_pending = 0;  ///< tombstones: not carried out everywhere
  int64_t head_samples_deleted = 0;
  int64_t blocks_cleaned = 0;  ///< rewritten or dropped by CleanTombstones
  double replay_seconds = 0;
  int64_t replay_records = 0;
};

/// Counts for status/tsdb: the most frequent entries first.
struct CardinalityStats {
  using Entry = std::pair<std::string, int64_t>;
  int64_t series = 0;
  int64_t label_pairs = 0;
  std::vector<Entry> series_by_metric;
  std::vector<Entry> values_by_label;
  std::vector<Entry> bytes_by_label;
  std::vector<Entry> series_by_pair;  ///< "name=value"
};

struct ExemplarSeries {
  Labels labels;
  std::vector<Exemplar> exemplars;
};

/// One atomic write. Between BeginAppend and Commit (or the destructor, which
/// drops the batch) no series is collected, so refs found stay valid; keep it
/// short. Single-thread; many may exist at once, on different threads.
class Appender {
 public:
  virtual ~Appender() = default;

  /// Refs obtained under an equal epoch are still valid in this appender.
  virtual uint64_t series_epoch() const = 0;
  /// Finds or creates the series. Unavailable / ResourceExhausted when the
  /// series record cannot be logged (then nothing was created).
  virtual absl::StatusOr<SeriesRef> Resolve(const Labels& labels) = 0;
  virtual const Labels LabelsOf(SeriesRef ref) const = 0;
  virtual WriteBatch& batch() = 0;
  /// Logs, applies and acknowledges the batch, then clears it. An error means
  /// that nothing of it was acknowledged. Rejected samples are no error.
  virtual absl::StatusOr<WriteResult> Commit() = 0;
};

/// A database in one directory: WAL, head, blocks, index. Thread-safe.
///
/// Files: `wal/` segments and a checkpoint, `blocks/` sealed data, `index/`
/// RocksDB, `LOCK`, `VARVE` (format version, which also marks the directory as
/// ours).
class Db {
 public:
  /// Opens or creates, and replays the WAL. FailedPrecondition when another
  /// process holds the directory or it holds something that is not varve's
  /// (the message says what to do).
  static absl::StatusOr<std::unique_ptr<Db>> Open(const DbOptions& options);
  /// Close() if that was not called.
  virtual ~Db() = default;

  virtual std::unique_ptr<Appender> BeginAppend() = 0;
  /// Changes when refs kept from earlier appenders may have become invalid.
  virtual uint64_t series_epoch() const = 0;

  /// Head and blocks as one source. Lives as long as the Db.
  virtual const SeriesSource& source() const = 0;
  virtual std::vector<std::pair<std::string, Metadata>> FamilyMetadata()
      const = 0;
  virtual absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      std::span<const std::vector<Matcher>> selectors, int64_t start_ms,
      int64_t end_ms) const = 0;

  /// Seals everything accepted so far into blocks; returns when it is durable.
  virtual absl::Status Flush() = 0;
  /// One step of the background work: seal due windows, drop expired days,
  /// write a checkpoint that is due, merge blocks. Returns whether anything was
  /// done.
  virtual absl::StatusOr<bool> Maintain() = 0;
  /// Takes effect at once; for reloads.
  virtual void SetOutOfOrderWindow(std::optional<int64_t> window_ms) = 0;
  /// Takes effect at once, as to what is served and accepted; blocks go with
  /// the next step of the background work. What a shorter time dropped does not
  /// come back with a longer one.
  virtual void SetRetention(const RetentionPolicy& policy) = 0;

  /// A consistent copy in `<directory>/snapshots/<name>`, whose name it gives:
  /// links of the files that never change, so it costs next to nothing. It is a
  /// directory of a Db. Every sample acknowledged before the call is in it, or,
  /// with `skip_head`, those that stand in blocks. Waits for a seal under way.
  virtual absl::StatusOr<std::string> Snapshot(bool skip_head) = 0;
  /// Deletes the samples in `range` of the series that match all matchers of
  /// one of the selectors: those that were acknowledged before the call.
  /// Durable and in effect for all queries that begin after it returned;
  /// samples that are written later stay, whatever their time. Waits for a seal
  /// under way. On error nothing was deleted, or, when the disk failed in the
  /// middle, all of it or nothing is after the next start. ResourceExhausted
  /// when too many deletions wait for CleanTombstones.
  virtual absl::Status DeleteSeries(const Selectors& selectors,
                                    TimeRange range) = 0;
  /// Rewrites the blocks that hold deleted samples; empty ones go. The first
  /// error, when all other blocks have been done.
  virtual absl::Status CleanTombstones() = 0;

  virtual DbStats Stats() const = 0;
  virtual CardinalityStats Cardinality(size_t limit) const = 0;

  /// Stops background work, writes a checkpoint, syncs the WAL, frees the lock.
  /// Idempotent.
  virtual absl::Status Close() = 0;
};

}  // namespace varve
