#include "storage/db_directory.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kMarkerText = "varve 1\n";
constexpr std::string_view kMarkerPrefix = "varve ";
constexpr uint64_t kMarkerBytesMax = 4096;

/// Prometheus names its blocks by ULIDs: 26 characters of Crockford's base 32.
bool IsUlid(std::string_view name) {
  constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  return name.size() == 26 &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return kAlphabet.find(c) != std::string_view::npos;
         });
}

bool LooksLikePrometheus(const std::vector<FileInfo>& files) {
  return std::any_of(files.begin(), files.end(), [](const FileInfo& f) {
    return f.name == "wal" || f.name == "wbl" || f.name == "chunks_head" ||
           f.name == "queries.active" || IsUlid(f.name);
  });
}

/// What may lie in a directory that is about to become ours.
bool IsHarmless(const FileInfo& file) {
  return file.name == "LOCK" || file.name == "lost+found" ||
         file.name.starts_with("VARVE");
}

absl::Status CheckForeign(FileSystem* fs, const std::string& directory) {
  VARVE_ASSIGN_OR_RETURN(const auto files, fs->List(directory));
  if (LooksLikePrometheus(files)) {
    return FailedPrecondition(
        "{} holds the data of a Prometheus server, which varve does not touch; "
        "give varve a directory of its own with --storage.tsdb.path, and let "
        "Prometheus remote-write to it to bring new samples over",
        directory);
  }
  for (const FileInfo& file : files) {
    if (!IsHarmless(file)) {
      return FailedPrecondition(
          "{} is not empty and is not a varve directory (it holds {}); give "
          "varve an empty or new directory with --storage.tsdb.path",
          directory, file.name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMarker(FileSystem* fs, const std::string& directory) {
  const std::string path = directory + "/VARVE";
  const auto text = ReadFile(fs, path, kMarkerBytesMax);
  if (absl::IsNotFound(text.status())) {
    VARVE_ASSIGN_OR_RETURN(const bool ours, fs->Exists(directory + "/blocks"));
    if (ours) return DataLoss("{}: is missing", path);
    return FailedPrecondition(
        "{} is not a varve directory: it has no marker {}", directory, path);
  }
  if (absl::IsResourceExhausted(text.status())) {
    return DataLoss("{}: not a varve marker", path);
  }
  VARVE_RETURN_IF_ERROR(text.status());
  if (*text == kMarkerText) return absl::OkStatus();
  // A number that is not ours, and nothing else, is no accident.
  std::string_view version = *text;
  if (version.starts_with(kMarkerPrefix) && version.ends_with('\n')) {
    version.remove_prefix(kMarkerPrefix.size());
    version.remove_suffix(1);
    if (!version.empty() &&
        version.find_first_not_of("0123456789") == std::string_view::npos) {
      return FailedPrecondition(
          "{}: the directory was written by a newer varve (version {}); this "
          "one reads version 1",
          path, version);
    }
  }
  return DataLoss("{}: not a varve marker", path);
}

absl::StatusOr<std::unique_ptr<FileLock>> LockForReading(
    FileSystem* fs, const std::string& directory) {
  const std::string path = directory + "/LOCK";
  VARVE_ASSIGN_OR_RETURN(const bool exists, fs->Exists(path));
  if (!exists) return nullptr;
  auto lock = fs->Lock(path);
  if (!absl::IsFailedPrecondition(lock.status())) return lock;
  return FailedPrecondition(
      "{} is in use by a varve process, which changes it all the time; take a "
      "snapshot (POST /api/v1/admin/tsdb/snapshot) and check that, or stop the "
      "process",
      directory);
}

absl::Status MarkDirectory(FileSystem* fs, const std::string& directory) {
  return WriteFileAtomically(fs, directory + "/VARVE", kMarkerText);
}

absl::StatusOr<std::unique_ptr<FileLock>> ClaimDirectory(
    FileSystem* fs, const std::string& directory) {
  const std::string marker = directory + "/VARVE";
  VARVE_ASSIGN_OR_RETURN(const bool exists, fs->Exists(directory));
  bool marked = false;
  if (exists) {
    VARVE_ASSIGN_OR_RETURN(marked, fs->Exists(marker));
    if (!marked) VARVE_RETURN_IF_ERROR(CheckForeign(fs, directory));
  } else {
    VARVE_RETURN_IF_ERROR(fs->CreateDir(directory));
  }
  auto lock = fs->Lock(directory + "/LOCK");
  if (absl::IsFailedPrecondition(lock.status())) {
    return FailedPrecondition(
        "{} is in use by another varve process ({}); stop it, or give this one "
        "another directory with --storage.tsdb.path",
        directory, Message(lock.status()));
  }
  VARVE_RETURN_IF_ERROR(lock.status());
  if (marked) {
    VARVE_RETURN_IF_ERROR(CheckMarker(fs, directory));
  } else {
    VARVE_RETURN_IF_ERROR(MarkDirectory(fs, directory));
  }
  return lock;
}

}  // namespace varve
