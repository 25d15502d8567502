#include "storage/repair.h"

#include "storage/db_directory.h"
#include "storage/repair_parts.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr int kQuarantinesMax = 100'000;

std::string DirectoryOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

}  // namespace

void RepairWork::Did(std::string_view name, std::string_view what) {
  ++summary.actions;
  if (options_.on_action) options_.on_action(fmt::format("{}: {}", name, what));
}

absl::StatusOr<std::string> RepairWork::Place(const std::string& name) {
  for (int n = 1; quarantine_.empty() && n < kQuarantinesMax; ++n) {
    const std::string path = PathOf(fmt::format("quarantine/{}", n));
    VARVE_ASSIGN_OR_RETURN(const bool exists, fs()->Exists(path));
    if (!exists) quarantine_ = path;
  }
  const std::string path = quarantine_ + "/" + name;
  VARVE_RETURN_IF_ERROR(fs()->CreateDir(DirectoryOf(path)));
  return path;
}

absl::StatusOr<std::string> RepairWork::Move(const std::string& name) {
  VARVE_ASSIGN_OR_RETURN(std::string to, Place(name));
  const std::string from = PathOf(name);
  VARVE_RETURN_IF_ERROR(fs()->Rename(from, to));
  VARVE_RETURN_IF_ERROR(fs()->SyncDir(DirectoryOf(to)));
  VARVE_RETURN_IF_ERROR(fs()->SyncDir(DirectoryOf(from)));
  return to;
}

absl::StatusOr<std::string> RepairWork::Keep(const std::string& name) {
  VARVE_ASSIGN_OR_RETURN(std::string to, Place(name));
  VARVE_ASSIGN_OR_RETURN(const bool kept, fs()->Exists(to));
  if (kept) return to;
  VARVE_RETURN_IF_ERROR(LinkOrCopy(fs(), PathOf(name), to));
  VARVE_RETURN_IF_ERROR(fs()->SyncDir(DirectoryOf(to)));
  return to;
}

namespace {

/// A file that a newer version put there may hold what the log refers to.
absl::Status CheckLogIsKnown(const RepairWork& work) {
  const auto listed = ListWalFiles(work.fs(), work.PathOf("wal"));
  if (absl::IsNotFound(listed.status())) return absl::OkStatus();
  VARVE_RETURN_IF_ERROR(listed.status());
  if (listed->unknown.empty()) return absl::OkStatus();
  return FailedPrecondition(
      "{} is no file that this varve knows, so nothing is changed; if it does "
      "not belong there, move it away",
      work.PathOf("wal/" + listed->unknown.front()));
}

}  // namespace

absl::StatusOr<RepairSummary> RepairDirectory(const RepairOptions& options) {
  const absl::Status marker = CheckMarker(options.fs, options.directory);
  if (!marker.ok() && !absl::IsDataLoss(marker)) return marker;
  RepairWork work(options);
  auto lock = options.fs->Lock(work.PathOf("LOCK"));
  if (absl::IsFailedPrecondition(lock.status())) {
    return FailedPrecondition("{} is in use by a varve process; stop it first",
                              options.directory);
  }
  VARVE_RETURN_IF_ERROR(lock.status());
  VARVE_RETURN_IF_ERROR(CheckLogIsKnown(work));
  if (!marker.ok()) {
    VARVE_ASSIGN_OR_RETURN(const bool exists,
                           options.fs->Exists(work.PathOf("VARVE")));
    if (exists) VARVE_RETURN_IF_ERROR(work.Move("VARVE").status());
    VARVE_RETURN_IF_ERROR(MarkDirectory(options.fs, options.directory));
    work.Did("VARVE", "the marker was damaged and is written anew");
  }
  VARVE_ASSIGN_OR_RETURN(auto damaged, RepairIndex(&work));
  VARVE_RETURN_IF_ERROR(RepairBlocks(std::move(damaged), &work));
  VARVE_RETURN_IF_ERROR(RepairWal(&work));
  return work.summary;
}

}  // namespace varve
