#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "storage/file_system.h"

namespace varve {

/// Leaves our marker in a directory.
absl::Status MarkDirectory(FileSystem* fs, const std::string& directory);

/// Takes a directory for a Db: creates it when it is missing, refuses it when
/// it holds something that is not varve's or when another process holds it
/// (FailedPrecondition, with what to do), locks it and leaves our marker. A
/// directory that is refused is not changed.
absl::StatusOr<std::unique_ptr<FileLock>> ClaimDirectory(
    FileSystem* fs, const std::string& directory);

}  // namespace varve
