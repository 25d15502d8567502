#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "storage/file_system.h"

namespace varve {

/// A disk in memory that knows what a real disk could forget: bytes that no
/// Sync covered, and names (creations, renames, removals, links) that no
/// SyncDir covered. Directories that CreateDir makes are durable at once, as
/// the contract says. Thread-safe.
///
/// A crash is a new disk: CrashImage() copies what is durable at this instant,
/// and the program that still runs on the old one cannot touch it. So a test
/// may take an image at any moment, also in the middle of an operation.
class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  /// What is on the disk when the power fails now. Without a seed everything
  /// that is not durable is gone. With one, a random part survives: of each
  /// file's unsynced bytes a prefix (or, sometimes, zeros of that length), of
  /// each directory's unsynced changes the first few.
  std::unique_ptr<MemoryFileSystem> CrashImage(
      std::optional<uint64_t> seed = std::nullopt) const;

  /// Everything as it is, synced or not: what a killed process leaves behind.
  std::unique_ptr<MemoryFileSystem> KillImage() const;

  absl::StatusOr<std::unique_ptr<WritableFile>> OpenWritable(
      const std::string& path, WriteMode mode) override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override;
  absl::StatusOr<bool> Exists(const std::string& path) override;
  absl::StatusOr<FileInfo> Stat(const std::string& path) override;
  absl::StatusOr<std::vector<FileInfo>> List(
      const std::string& directory) override;
  absl::Status CreateDir(const std::string& directory) override;
  absl::Status SyncDir(const std::string& directory) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveDir(const std::string& directory) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status HardLink(const std::string& from,
                        const std::string& to) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override;
  absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) override;

 private:
  struct Disk;
  explicit MemoryFileSystem(std::shared_ptr<Disk> disk);

  friend class MemoryWritableFile;
  friend class MemoryRandomAccessFile;
  friend class MemoryFileLock;

  /// Shared with the open files, which may outlive the file system.
  std::shared_ptr<Disk> disk_;
};

}  // namespace varve
