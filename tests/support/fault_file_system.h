#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/file_system.h"
#include "storage/mutex.h"

namespace varve {

/// A file system whose calls fail when a test wants it. Wraps any other, most
/// often a MemoryFileSystem, which does the forgetting. Thread-safe.
class FaultFileSystem final : public FileSystem {
 public:
  /// Kinds of calls, as bits.
  enum Op : uint32_t {
    kOpenWritable = 1 << 0,
    kOpenRead = 1 << 1,
    kAppend = 1 << 2,
    kSync = 1 << 3,
    kTruncate = 1 << 4,
    kClose = 1 << 5,
    kRead = 1 << 6,  ///< ReadExactly, ReadSome, Size
    kStat = 1 << 7,  ///< Exists, Stat
    kList = 1 << 8,
    kCreateDir = 1 << 9,
    kSyncDir = 1 << 10,
    kRemove = 1 << 11,  ///< Remove, RemoveDir
    kRename = 1 << 12,
    kHardLink = 1 << 13,
    kLock = 1 << 14,
    kFreeBytes = 1 << 15,
    kReserve = 1 << 16,  ///< no write: whoever asks goes on without

    kAll = 0xffffffff,
    /// The calls that change the disk.
    kWrites = kOpenWritable | kAppend | kSync | kTruncate | kCreateDir |
              kSyncDir | kRemove | kRename | kHardLink,
  };
  using Hook = std::function<absl::Status(Op, const std::string& path)>;

  /// `base` must outlive this and every file opened through it.
  explicit FaultFileSystem(FileSystem* base);
  ~FaultFileSystem() override;

  /// The nth call from now (1 is the next one) of the kinds in `ops` gives
  /// `status` and does nothing; with `for_good` so do all after it.
  void FailCall(int64_t n, absl::Status status, uint32_t ops = kAll,
                bool for_good = false);
  /// Like a disk that was pulled out: every call of these kinds fails.
  void FailAll(absl::Status status, uint32_t ops = kAll) {
    FailCall(1, std::move(status), ops, true);
  }
  /// Takes back FailCall and FailAll.
  void Heal();
  /// Calls of these kinds since construction or the last ResetCalls().
  int64_t calls(uint32_t ops = kAll) const;
  void ResetCalls();

  /// A disk with so many bytes left: Appends take from them; the one that does
  /// not fit writes what fits and gives ResourceExhausted. nullopt: no limit.
  void SetFreeBytes(std::optional<uint64_t> bytes);

  /// Called before every call, outside of all locks; an error makes the call
  /// fail. For crash images in the middle of things, or faults by path.
  void SetHook(Hook hook);

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
  /// What faults and files share.
  struct State;
  friend class FaultWritableFile;
  friend class FaultRandomAccessFile;

  FileSystem* const base_;
  const std::shared_ptr<State> state_;
};

}  // namespace varve
