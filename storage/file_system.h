#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

/// A file being written from its beginning, or appended to. Single-thread.
class WritableFile {
 public:
  /// Closes without syncing.
  virtual ~WritableFile() = default;
  virtual absl::Status Append(std::string_view data) = 0;
  /// Writes several pieces in order, in as few calls as possible.
  virtual absl::Status Append(std::span<const std::string_view> pieces) = 0;
  /// Makes the file's bytes and length durable (not its name: SyncDir).
  virtual absl::Status Sync() = 0;
  /// Cuts the file to `size` bytes; the next Append goes there.
  virtual absl::Status Truncate(uint64_t size) = 0;
  /// Takes room on the disk for the first `bytes` bytes of the file, whose size
  /// stays as it is; Close gives back what was not written. A hint: no error
  /// where the file system cannot do it, and an error means only that the room
  /// was not to be had.
  virtual absl::Status Reserve(uint64_t bytes) = 0;
  virtual absl::Status Close() = 0;
  virtual uint64_t size() const = 0;
};

/// Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  /// Reads exactly `out.size()` bytes at `offset`; DataLoss when the file ends
  /// before that. `out` may be written in part on error.
  virtual absl::Status ReadExactly(uint64_t offset,
                                   std::span<char> out) const = 0;
  /// Reads up to `out.size()` bytes; returns how many. Fewer only at the end.
  virtual absl::StatusOr<size_t> ReadSome(uint64_t offset,
                                          std::span<char> out) const = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

/// A lock on a file, held until destroyed; also freed by the process's end.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct FileInfo {
  std::string name;  // without the directory
  bool is_directory = false;
  uint64_t size = 0;
};

/// Every file operation of varve, RocksDB's included, goes through this, so
/// that tests can let disks fail and forget. Messages name the path and the
/// system's reason. Codes: NotFound (no such file), ResourceExhausted (disk
/// full, quota), FailedPrecondition (already locked), Unavailable (any other
/// I/O error). Thread-safe.
class FileSystem {
 public:
  enum class WriteMode {
    kCreateOrTruncate,  ///< start empty
    kAppend,            ///< keep what is there, create when absent
    kReuse,             ///< keep the bytes, write from the beginning
  };

  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<WritableFile>> OpenWritable(
      const std::string& path, WriteMode mode) = 0;
  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) = 0;

  virtual absl::StatusOr<bool> Exists(const std::string& path) = 0;
  virtual absl::StatusOr<FileInfo> Stat(const std::string& path) = 0;
  /// In no particular order, without "." and "..".
  virtual absl::StatusOr<std::vector<FileInfo>> List(
      const std::string& directory) = 0;
  /// Also creates missing parents; no error if it exists. The names of the
  /// directories it made are durable when it returns.
  virtual absl::Status CreateDir(const std::string& directory) = 0;
  /// Makes the names inside `directory` durable.
  virtual absl::Status SyncDir(const std::string& directory) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  /// REQUIRES: the directory is empty.
  virtual absl::Status RemoveDir(const std::string& directory) = 0;
  /// Replaces `to` atomically.
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;
  virtual absl::Status HardLink(const std::string& from,
                                const std::string& to) = 0;
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) = 0;
  /// Bytes that an unprivileged process can still write below `directory`.
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) = 0;

  /// The machine's file system; lives for ever.
  static FileSystem* Posix();
};

/// Reads a whole file; ResourceExhausted when it is longer than `bytes_max`.
absl::StatusOr<std::string> ReadFile(FileSystem* fs, const std::string& path,
                                     uint64_t bytes_max);
/// Writes `path` so that after a crash it holds the old bytes or the new ones:
/// temporary file, sync, rename, directory sync.
absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path,
                                 std::string_view data);
/// Gives the file a second name; where the file system cannot, a synced copy.
/// For files that are never changed in place: both names show one content.
absl::Status LinkOrCopy(FileSystem* fs, const std::string& from,
                        const std::string& to);
/// Removes a directory and everything in it; no error if it does not exist.
absl::Status RemoveRecursively(FileSystem* fs, const std::string& directory);

}  // namespace varve
