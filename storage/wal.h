#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
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

namespace varve {

// The container of the write-ahead log: segments of checked records, see
// storage/wal.md. What stands in a record is wal_record.h's matter, what it
// means to the head head_replay.h's.

enum class WalRecordType : uint8_t {
  kSeries = 1,  ///< refs and label sets
  kCommit = 2,  ///< one atomic write
  kState = 3,   ///< in series files: metadata and exemplars
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
};

struct WalStats {
  int64_t bytes = 0;
  int64_t segments = 0;
  int64_t fsyncs = 0;
};

/// What reading a log found.
struct WalReadReport {
  int64_t records = 0;
  int64_t corruptions = 0;  ///< stretches of bytes that are no records
  int64_t bytes = 0;
  uint64_t segment_max = 0;  ///< 0: there was none
  std::map<uint64_t, uint64_t> segment_bytes;
};

/// Reads the newest series file, then every segment in order, and gives each
/// record to `f` (for the series file, `segment` is 0). A torn tail of the last
/// segment is cut from the file; anything else that is no record is skipped and
/// counted. An error of `f` or of the disk ends it. FailedPrecondition when a
/// segment was written by a newer version.
absl::Status ReadWal(
    const WalOptions& options, WalReadReport* report,
    const std::function<absl::Status(uint64_t segment, WalRecordType type,
                                     std::string_view payload)>& f);

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
  absl::StatusOr<uint64_t> LogCommit(std::string_view payload);

  /// Ends the current segment. Every later record stands in the segment whose
  /// number is returned, or in a later one.
  absl::StatusOr<uint64_t> Rotate();
  /// Makes all that was written durable, now or if that is a second ago. Does
  /// not hold up writers.
  absl::Status Sync();
  absl::Status SyncIfDue();

  /// Writes the series file that replaces all series records before segment
  /// `segment`. `write` calls its argument with each record.
  using AddRecord =
      std::function<absl::Status(WalRecordType type, std::string_view payload)>;
  absl::Status WriteSeriesFile(
      uint64_t segment,
      const std::function<absl::Status(const AddRecord& add)>& write);
  /// Deletes segments and series files before `segment`. REQUIRES: the series
  /// file for `segment` is written.
  absl::Status DeleteBefore(uint64_t segment);
  /// The number of the segment written last.
  uint64_t segment() const { return segment_.load(); }
  /// The number of the oldest segment there is, or of the next one.
  uint64_t segment_min() const;

  WalStats stats() const;
  /// Syncs (but in kNever) and closes. Later calls fail.
  absl::Status Close();

 private:
  struct Waiter {
    enum Kind { kCommit, kFlush, kRotate, kClose };
    Kind kind = kCommit;
    std::string_view payload;
    absl::Status status;
    uint64_t segment = 0;
    bool done = false;
    CondVar ready;
  };

  explicit Wal(const WalOptions& options) : options_(options) {}

  void Run(Waiter* waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  void Lead(Waiter* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
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
  std::string headers_;
  std::vector<std::string_view> pieces_;
};

}  // namespace varve
