#include "storage/db_directory.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kMarkerText = "varve 1\n";
constexpr std::string_view kMarkerPrefix = "varve ";

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

absl::Status CheckMarker(FileSystem* fs, const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, path, 4096));
  if (text == kMarkerText) return absl::OkStatus();
  if (text.starts_with(kMarkerPrefix)) {
    return FailedPrecondition(
        "{}: the directory was written by a newer varve (\"{}\"); this one "
        "reads \"varve 1\"",
        path, text.substr(0, text.find('\n')));
  }
  return DataLoss("{}: not a varve marker", path);
}

}  // namespace

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
    VARVE_RETURN_IF_ERROR(CheckMarker(fs, marker));
  } else {
    VARVE_RETURN_IF_ERROR(MarkDirectory(fs, directory));
  }
  return lock;
}

}  // namespace varve
