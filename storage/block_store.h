#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/clock.h"
#include "storage/deletion.h"
#include "storage/file_system.h"
#include "storage/log.h"
#include "storage/series_source.h"

namespace varve {

/// A half-open stretch of time, [start_ms, end_ms).
struct TimeWindow {
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  friend bool operator==(const TimeWindow&, const TimeWindow&) = default;
};

/// "Every sample of the window that starts here and stands in a WAL segment
/// before `wal_segment` is in a block", so that replay leaves it out.
struct SealMark {
  int64_t window_start_ms = 0;
  uint64_t wal_segment = 0;
  friend bool operator==(const SealMark&, const SealMark&) = default;
};

/// What the manifest knows of a block.
struct BlockInfo {
  /// Days since 1970 of the window's start (may be negative) and the block's
  /// number within its day; never used twice. They name the block's file and
  /// its index rows.
  int32_t day = 0;
  uint16_t part = 0;
  /// Where two blocks of a day hold the same timestamp of a series, the one of
  /// the lower order wins: it was stored first. The part's number, unless the
  /// block took the place of others: then the lowest order of theirs.
  uint16_t order = 0;
  TimeWindow window;
  int64_t min_ms = 0;  ///< of its samples, inclusive
  int64_t max_ms = 0;
  uint32_t series = 0;
  uint64_t samples = 0;
  uint64_t file_bytes = 0;
  uint64_t index_bytes = 0;
  /// The number of the last deletion whose samples it was made without; later
  /// ones have to be put to it.
  uint64_t deletions_done = 0;
  bool damaged = false;  ///< set aside; not kept in the manifest
};

struct BlockStoreOptions {
  std::string directory;  ///< the Db's; uses blocks/ and index/ in it
  FileSystem* fs = FileSystem::Posix();
  Clock* clock = Clock::System();
  Logger logger;
};

/// Writes one block. Nothing of it is visible before BlockStore::Publish; a
/// builder that is destroyed unpublished leaves no files. Single-thread.
class BlockBuilder {
 public:
  virtual ~BlockBuilder() = default;
  /// REQUIRES: SeriesLess order, each label set once; per series the chunks
  /// ascend in time, every sample inside the window, each chunk not empty and
  /// at most kBlockChunkSamplesMax samples.
  virtual absl::Status AddSeries(const Labels& labels,
                                 std::span<const SampleColumns> chunks) = 0;
  /// Of the block so far; its names and window are known from the beginning.
  virtual BlockInfo info() const = 0;
};
inline constexpr size_t kBlockChunkSamplesMax = 1 << 16;

struct SnapshotBlock;

/// The sealed blocks of a Db, their index and the manifest in RocksDB, and the
/// order in which they are published (DESIGN: block file complete and synced ->
/// index rows ingested -> one synced manifest batch -> old files deleted).
/// Thread-safe.
class BlockStore {
 public:
  /// Removes files and index rows that the manifest does not name; sets aside
  /// blocks that cannot be opened.
  static absl::StatusOr<std::unique_ptr<BlockStore>> Open(
      const BlockStoreOptions& options);
  virtual ~BlockStore() = default;

  /// A block for samples of `window`, which lies inside one day.
  virtual absl::StatusOr<std::unique_ptr<BlockBuilder>> NewBlock(
      TimeWindow window) = 0;
  /// A block that is to replace these blocks of one day: its window spans
  /// theirs, and it takes their place in the order. REQUIRES: no other block
  /// that shares a stretch of time with them comes between them in the order.
  virtual absl::StatusOr<std::unique_ptr<BlockBuilder>> NewBlockInsteadOf(
      std::span<const BlockInfo> replaced) = 0;
  /// Finishes the builders (empty ones are dropped), publishes them, removes
  /// `replaced` from the manifest and stores the marks, all in one step that a
  /// crash cannot split. On error nothing of it is visible. Aborted when a
  /// block of `replaced` is not there any more.
  virtual absl::Status Publish(
      std::vector<std::unique_ptr<BlockBuilder>> builders,
      std::span<const BlockInfo> replaced, std::span<const SealMark> marks) = 0;
  /// Marks that no segment needs any more may be forgotten, and deletions that
  /// no block needs either.
  virtual absl::Status ForgetMarks(uint64_t before_wal_segment) = 0;
  /// A write of the manifest that failed may be on the disk all the same, until
  /// the next one undoes it. After this it is undone. REQUIRED before samples
  /// are stored where a start reads them without regard to it.
  virtual absl::Status UndoFailedWrite() = 0;
  virtual std::vector<SealMark> seal_marks() const = 0;

  virtual std::vector<BlockInfo> Blocks() const = 0;
  /// Blocks that are published now, to be read one by one; they stay readable
  /// as long as they are held. Aborted when one is not there any more.
  virtual absl::StatusOr<std::vector<std::shared_ptr<const SnapshotBlock>>> Pin(
      std::span<const BlockInfo> infos) const = 0;
  /// The blocks published now, as one source; later changes do not touch it.
  virtual std::shared_ptr<const SeriesSource> Snapshot() const = 0;
  /// Removes replaced blocks that no snapshot reads any more.
  virtual void RemoveUnused() = 0;
  /// Puts links of the block files and a copy of the index and the manifest
  /// into `directory`, which exists, as they are at one moment.
  virtual absl::Status CopyTo(const std::string& directory) = 0;
  /// Takes blocks away; those that are not published, or not any more, are
  /// passed over. Returns how many it dropped.
  virtual absl::StatusOr<int> Drop(std::span<const BlockInfo> blocks) = 0;

  /// Whether a block may hold samples that such a deletion would take away.
  virtual absl::StatusOr<bool> MayHold(const Selectors& selectors,
                                       TimeRange range) const = 0;
  /// Durable when it returns. It is about every block that is published now, or
  /// of which NewBlock was called before: snapshots taken later give nothing of
  /// the samples. The number is set here. ResourceExhausted when too many
  /// deletions wait.
  virtual absl::Status Delete(Deletion deletion) = 0;
  /// Deletions that are not forgotten, ascending.
  virtual std::vector<DeletionPtr> deletions() const = 0;
  /// Those that a block was not made without, ascending.
  virtual std::vector<DeletionPtr> DeletionsOf(
      const BlockInfo& block) const = 0;
  /// The blocks that hold deleted samples, or that cannot tell. The others are
  /// noted as done with.
  virtual absl::StatusOr<std::vector<BlockInfo>> BlocksToClean() = 0;

  /// Small facts that must survive, synced: metric family metadata and others.
  virtual absl::Status PutFact(std::string_view key,
                               std::string_view value) = 0;
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
  Facts(std::string_view key_prefix) const = 0;

  virtual absl::Status Close() = 0;
};

}  // namespace varve
