#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "storage/file_system.h"

namespace varve {

/// Leaves our marker in a directory.
absl::Status MarkDirectory(FileSystem* fs, const std::string& directory);

/// OK when the directory has our marker. FailedPrecondition when it is not a
/// Db's directory or of a newer version, DataLoss when the marker is damaged or
/// missing from what is a Db's directory otherwise.
absl::Status CheckMarker(FileSystem* fs, const std::string& directory);
/// Keeps a Db out of a directory that is only to be read; null when none has
/// ever been there, as in a snapshot. FailedPrecondition when one is.
absl::StatusOr<std::unique_ptr<FileLock>> LockForReading(
    FileSystem* fs, const std::string& directory);

/// Takes a directory for a Db: creates it when it is missing, refuses it when
/// it holds something that is not varve's or when another process holds it
/// (FailedPrecondition, with what to do), locks it and leaves our marker. A
/// directory that is refused is not changed.
absl::StatusOr<std::unique_ptr<FileLock>> ClaimDirectory(
    FileSystem* fs, const std::string& directory);

}  // namespace varve
