#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "storage/log.h"

namespace varve {

struct RowStoreOptions {
  std::string directory;
  FileSystem* fs = FileSystem::Posix();
  Logger logger;
  /// Uncompressed blocks of index rows kept in memory.
  size_t cache_bytes = size_t{48} << 20;
  /// Changes nothing on the disk; calls that would are FailedPrecondition.
  bool read_only = false;
};

/// The number of the last batch of a store's manifest that changed blocks, as
/// written beside RocksDB's files by RowStore::Guard. DataLoss when damaged.
absl::StatusOr<uint64_t> ReadGuard(FileSystem* fs,
                                   const std::string& directory);

/// A file of rows in ascending key order, to be ingested in one step.
/// Single-thread.
class RowFile {
 public:
  virtual ~RowFile() = default;
  /// REQUIRES: keys strictly ascending.
  virtual absl::Status Add(std::string_view key, std::string_view value) = 0;
  /// Completes and syncs the file; its size.
  virtual absl::StatusOr<uint64_t> Finish() = 0;
};

/// Rows sorted by key, in RocksDB: what the index and the manifest need of it
/// and no more. With rocksdb_env.cc the only code that knows RocksDB.
///
/// Two families: `index` holds ingested files only, one per block, whose key
/// ranges never overlap, so nothing is ever compacted and a range is dropped by
/// deleting its files; `manifest` holds small rows written in synced batches.
/// A row that cannot be read is DataLoss. Thread-safe.
class RowStore {
 public:
  enum class Family { kIndex, kManifest };

  /// Changes of the manifest that happen together.
  struct Batch {
    std::vector<std::pair<std::string, std::string>> puts;
    std::vector<std::string> deletes;
    bool empty() const { return puts.empty() && deletes.empty(); }
  };

  /// Damage does not keep it from opening as long as RocksDB finds its way:
  /// rows of damaged files give errors, and damage() says that rows of the
  /// manifest may be missing. DataLoss when it cannot be opened at all.
  static absl::StatusOr<std::unique_ptr<RowStore>> Open(
      const RowStoreOptions& options);
  virtual ~RowStore() = default;

  /// Why rows of the manifest may be missing; OK if all are there. Once it is
  /// an error it stays so when the store is opened again.
  virtual absl::Status damage() const = 0;

  /// Rows of the manifest are lost for a reason that the store cannot see, and
  /// damage() says so from now on.
  virtual absl::Status NoteDamage(const absl::Status& damage) = 0;

  struct File {
    std::string name;
    uint64_t size = 0;
    Family family = Family::kIndex;
  };
  /// The files of rows that belong to the store.
  virtual std::vector<File> Files() const = 0;

  /// nullopt when there is no such row.
  virtual absl::StatusOr<std::optional<std::string>> Get(
      Family family, std::string_view key) const = 0;
  /// All rows of the manifest whose keys begin with `prefix`, in order.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
  ManifestRows(std::string_view prefix) const = 0;
  /// All or nothing; durable when it returns.
  virtual absl::Status WriteManifest(const Batch& batch) = 0;
  /// Writes down beside RocksDB how many batches there have been. RocksDB takes
  /// some kinds of damage to the end of its log for a write that a crash cut
  /// short; with this, the loss of batches before the guard is found at Open.
  virtual absl::Status Guard() = 0;

  /// A copy of the store as it is now in `directory`, which must not exist:
  /// links of the ingested files, copies of the small ones. REQUIRES: no other
  /// call changes the store meanwhile.
  virtual absl::Status Checkpoint(const std::string& directory) = 0;

  virtual absl::StatusOr<std::unique_ptr<RowFile>> NewFile(
      const std::string& path) = 0;
  /// Adds a finished file's rows to `index`; the file's name goes. Durable when
  /// it returns.
  virtual absl::Status Ingest(const std::string& path) = 0;
  /// The first key of every ingested file, ascending.
  virtual std::vector<std::string> IndexFileKeys() const = 0;
  /// Removes the files whose keys all lie in [begin, end).
  virtual absl::Status DropIndexFiles(std::string_view begin,
                                      std::string_view end) = 0;
};

}  // namespace varve
