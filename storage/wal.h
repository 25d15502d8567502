#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/clock.h"
#include "storage/db.h"
#include "storage/file_system.h"
#include "storage/log.h"
#include "storage/mutex.h"
#include "storage/write_batch.h"

namespace varve {

// The container of the write-ahead log: segments of checked records, see
// storage/wal.md. What stands in a record is wal_record.h's matter, what it
// means to the head head_replay.h's.

enum class WalRecordType : uint8_t {
  kSeries = 1,  ///< refs and label sets
  kCommit = 2,  ///< one atomic write
  kState = 3,   ///< in checkpoints: metadata and exemplars
  // In checkpoints only, see storage/checkpoint.md.
  kHeadSeries = 4,  ///< series with their chunks
  kHeadSide = 5,    ///< samples out of order and histograms
  kHeadStarts = 6,  ///< start timestamps
  kEnd = 7,         ///< the checkpoint is whole
};

/// A record's payload is at most this long.
inline constexpr size_t kWalRecordBytesMax = size_t{64} << 20;

struct WalOptions {
  std::string directory;
  FileSystem* fs = FileSystem::Posix();
  Clock* clock = Clock::System();
  Logger logger;
  FsyncMode fsync = FsyncMode::kInterval;
  uint64_t segment_bytes = uint64_t{128} << 20;
  std::shared_ptr<ReplayProgress> progress;  ///< of reading; may be null
};

struct WalStats {
  int64_t bytes = 0;
  int64_t segments = 0;
  int64_t fsyncs = 0;
};

/// What reading a log found.
struct WalReadReport {
  uint64_t checkpoint = 0;  ///< the segment it stands for, 0: none
  int64_t checkpoint_bytes = 0;
  int64_t records = 0;
  int64_t corruptions = 0;  ///< stretches of bytes that are no records
  int64_t bytes = 0;
  uint64_t segment_max = 0;  ///< 0: there was none
  std::map<uint64_t, uint64_t> segment_bytes;
};

/// Reads the newest checkpoint (or series file, as older versions wrote), then
/// every segment from its number on, and gives each record to `f` (for those of
/// the checkpoint, `segment` is 0). A torn tail of the last segment is cut from
/// the file; anything else that is no record is skipped and counted, and so is
/// the end of the log when it is missing. An error
/// of `f` or of the disk ends it. FailedPrecondition when a file was written by
/// a newer version. The payload is valid during the call only.
absl::Status ReadWal(
    const WalOptions& options, WalReadReport* report,
    const std::function<absl::Status(uint64_t segment, WalRecordType type,
                                     std::string_view payload)>& f);

/// The newest segment that the log is known to have had: what came after it was
/// not noted. 0 when nothing is known, as in logs of older versions. DataLoss
/// when the note is damaged, FailedPrecondition when a newer version wrote it.
absl::StatusOr<uint64_t> ReadNewestSegment(FileSystem* fs,
                                           const std::string& directory);
absl::Status WriteNewestSegment(FileSystem* fs, const std::string& directory,
                                uint64_t segment);

/// What a commit may store: every sample has a ref and a time in these ranges.
/// The default is everything.
struct CommitRange {
  SeriesRef min_ref = 0;
  SeriesRef max_ref = kNoSeries;
  int64_t min_ms = std::numeric_limits<int64_t>::min();
  int64_t max_ms = std::numeric_limits<int64_t>::max();

  bool Overlaps(const CommitRange& other) const {
    return min_ref <= other.max_ref && other.min_ref <= max_ref &&
           min_ms <= other.max_ms && other.min_ms <= max_ms;
  }
};

class Wal;

/// A commit's turn to store what it has logged: until this ends, no later
/// commit of the log that overlaps gets its turn. So the head decides between
/// different values for one series and time as replay will, and commits that
/// have nothing in common still go side by side. Single-thread.
class CommitTurn {
 public:
  CommitTurn(Wal* wal, const CommitRange& range) : wal_(wal), range_(range) {}
  ~CommitTurn();
  CommitTurn(const CommitTurn&) = delete;
  CommitTurn& operator=(const CommitTurn&) = delete;

 private:
  friend class Wal;
  Wal* const wal_;
  const CommitRange range_;
  // Guarded by the log's mutex.
  bool waits_ = false;
  CondVar ready_;
};

/// The writing end. Thread-safe.
///
/// Writers queue; the first of the queue writes for all that stand in it, with
/// one write and, in FsyncMode::kAlways, one sync. An error (a full disk) fails
/// the commits of that group only: the file is cut back to whole records, and
/// the next group tries again.
class Wal {
 public:
  /// Goes on after what ReadWal found, in a new segment, which the first write
  /// creates.
  static absl::StatusOr<std::unique_ptr<Wal>> Open(
      const WalOptions& options, const WalReadReport& existing);
  ~Wal();

  /// Series records that must stand in the log before the next commit does.
  /// They are kept until that is written, also across failures. An error means
  /// that too many wait and cannot be written; then nothing was kept.
  absl::Status LogSeries(std::string_view payload);
  /// Returns once the record is written (and synced, in kAlways); gives the
  /// segment in which it stands.
  absl::StatusOr<uint64_t> LogCommit(std::string_view payload) {
    return LogCommit(payload, nullptr);
  }
  /// The same, and returns only when it is this commit's turn to be stored.
  absl::StatusOr<uint64_t> LogCommit(std::string_view payload,
                                     CommitTurn* turn);

  /// Ends the current segment. Every later record stands in the segment whose
  /// number is returned, or in a later one.
  absl::StatusOr<uint64_t> Rotate();
  /// Makes all that was written durable, now or if that is a second ago. Does
  /// not hold up writers.
  absl::Status Sync();
  absl::Status SyncIfDue();

  /// Writes the checkpoint that replaces all records before segment `segment`;
  /// when this returns it is durable. `write` calls its argument with each
  /// record. Gives the file's size.
  using AddRecord =
      std::function<absl::Status(WalRecordType type, std::string_view payload)>;
  absl::StatusOr<uint64_t> WriteCheckpoint(
      uint64_t segment,
      const std::function<absl::Status(const AddRecord& add)>& write);
  /// Deletes segments and checkpoints before `segment`. REQUIRES: the
  /// checkpoint for `segment` is written.
  absl::Status DeleteBefore(uint64_t segment);
  /// The number of the segment written last.
  uint64_t segment() const { return segment_.load(); }
  /// The number of the oldest segment there is, or of the next one.
  uint64_t segment_min() const;
  /// Bytes of that segment and all later ones.
  uint64_t BytesFrom(uint64_t segment) const;

  WalStats stats() const;
  /// Syncs (but in kNever) and closes. Later calls fail.
  absl::Status Close();

 private:
  friend class CommitTurn;
  struct Waiter {
    enum Kind { kCommit, kFlush, kRotate, kClose };
    Kind kind = kCommit;
    std::string_view payload;
    absl::Status status;
    uint64_t segment = 0;
    bool done = false;
    CondVar ready;
    CommitTurn* turn = nullptr;
  };

  explicit Wal(const WalOptions& options) : options_(options) {}

  void Run(Waiter* waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  void Lead(Waiter* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AwaitTurn(CommitTurn* turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndTurn(const CommitTurn* turn) ABSL_LOCKS_EXCLUDED(mutex_);
  // The functions below run without mutex_, by the front of the queue only.
  absl::Status WriteGroup(std::string_view series,
                          const std::vector<Waiter*>& commits);
  absl::Status AppendGroup(std::string_view series,
                           const std::vector<Waiter*>& commits);
  absl::Status OpenSegment();
  absl::Status EndSegment();
  void AbandonSegment();

  const WalOptions options_;

  mutable Mutex mutex_;
  std::deque<Waiter*> queue_ ABSL_GUARDED_BY(mutex_);
  /// Of commits that are queued, or logged and not stored yet; in the order of
  /// the log.
  std::vector<CommitTurn*> turns_ ABSL_GUARDED_BY(mutex_);
  std::string pending_series_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, uint64_t> segment_bytes_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  /// A second handle on the current segment, for syncs beside writes.
  std::shared_ptr<WritableFile> sync_file_ ABSL_GUARDED_BY(mutex_);
  bool dirty_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t last_sync_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  Mutex sync_mutex_;  ///< one sync at a time; before mutex_

  std::atomic<uint64_t> segment_{0};  ///< the current one, or the last
  std::atomic<int64_t> fsyncs_{0};

  // Of the front of the queue.
  std::unique_ptr<WritableFile> file_;
  uint64_t reserved_ = 0;  ///< the file has room on the disk up to here
  std::string headers_;
  std::vector<std::string_view> pieces_;
};

}  // namespace varve
