#include <fmt/chrono.h>

#include <random>

#include "storage/db_directory.h"
#include "storage/db_impl.h"
#include "storage/status_macros.h"
#include "storage/wal_format.h"

namespace varve {

// A snapshot is a directory of a Db made of links. Why it is consistent:
//
//   - The log is rotated first: what was acknowledged before the call stands
//     in a segment before P, and none of these is written any more.
//   - No seal is under way (maintain_mutex_), so none of these segments is
//     deleted before it is linked, and the blocks, the marks and the log belong
//     together. Blocks and manifest are taken at one moment by the block store.
//   - It is made under a temporary name, so that what has its final name is
//     complete and durable.
//
// Without the log the marks stay; Start() lets no new segment fall under one.

namespace {

constexpr std::string_view kUnfinished = ".tmp";

std::string SnapshotsIn(const std::string& directory) {
  return directory + "/snapshots";
}

/// As Prometheus names its own: 20060102T150405Z-0123456789abcdef.
std::string SnapshotName(int64_t now_ms) {
  std::random_device random;
  const uint64_t number = uint64_t{random()} << 32 | random();
  const std::time_t seconds = static_cast<std::time_t>(now_ms / 1000);
  return fmt::format("{:%Y%m%dT%H%M%SZ}-{:016x}", fmt::gmtime(seconds),
                     number >> 1);
}

}  // namespace

void DbImpl::RemoveUnfinishedSnapshots() {
  const std::string snapshots = SnapshotsIn(options_.directory);
  const auto entries = options_.fs->List(snapshots);
  if (!entries.ok()) return;
  for (const FileInfo& entry : *entries) {
    if (!entry.name.ends_with(kUnfinished)) continue;
    RemoveRecursively(options_.fs, snapshots + "/" + entry.name).IgnoreError();
  }
}

absl::Status DbImpl::CopyWalBefore(uint64_t segment,
                                   const std::string& directory) {
  const std::string wal = options_.directory + "/wal";
  VARVE_RETURN_IF_ERROR(options_.fs->CreateDir(directory));
  VARVE_ASSIGN_OR_RETURN(const auto files, options_.fs->List(wal));
  for (const FileInfo& file : files) {
    const auto number = wal_format::ParseSegmentName(file.name);
    if (number && *number >= segment) continue;
    if (file.is_directory || file.name.ends_with(kUnfinished)) continue;
    // It may name a segment that has begun since.
    if (file.name == wal_format::kNewestName) continue;
    VARVE_RETURN_IF_ERROR(LinkOrCopy(options_.fs, wal + "/" + file.name,
                                     directory + "/" + file.name));
  }
  if (segment > 1) {
    VARVE_RETURN_IF_ERROR(
        WriteNewestSegment(options_.fs, directory, segment - 1));
  }
  return options_.fs->SyncDir(directory);
}

absl::Status DbImpl::FillSnapshot(bool skip_head,
                                  const std::string& directory) {
  VARVE_RETURN_IF_ERROR(options_.fs->CreateDir(directory));
  if (!skip_head) {
    VARVE_ASSIGN_OR_RETURN(const uint64_t segment, wal_->Rotate());
    VARVE_RETURN_IF_ERROR(CopyWalBefore(segment, directory + "/wal"));
  }
  VARVE_RETURN_IF_ERROR(blocks_->CopyTo(directory));
  return MarkDirectory(options_.fs, directory);
}

absl::StatusOr<std::string> DbImpl::Snapshot(bool skip_head) {
  MutexLock lock(&maintain_mutex_);
  const std::string name = SnapshotName(options_.clock->NowMs());
  const std::string snapshots = SnapshotsIn(options_.directory);
  const std::string path = snapshots + "/" + name;
  const std::string temporary = path + std::string(kUnfinished);
  const auto make = [&]() -> absl::Status {
    VARVE_RETURN_IF_ERROR(FillSnapshot(skip_head, temporary));
    VARVE_RETURN_IF_ERROR(options_.fs->Rename(temporary, path));
    return options_.fs->SyncDir(snapshots);
  };
  if (absl::Status s = make(); !s.ok()) {
    RemoveRecursively(options_.fs, temporary).IgnoreError();
    RemoveRecursively(options_.fs, path).IgnoreError();
    options_.logger.Error("db", "snapshot {}: {}", name, Message(s));
    return s;
  }
  options_.logger.Info("db", "snapshot {} is complete", path);
  return name;
}

}  // namespace varve
