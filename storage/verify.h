#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "storage/file_system.h"
#include "storage/findings.h"

namespace varve {

struct VerifyOptions {
  std::string directory;
  FileSystem* fs = FileSystem::Posix();
  /// Told of every finding at once, in the order of the files.
  std::function<void(const Finding&)> on_finding;
};

/// What was read and found.
struct VerifySummary {
  int64_t blocks = 0;
  int64_t block_series = 0;  ///< summed over blocks
  int64_t block_samples = 0;
  int64_t wal_files = 0;
  int64_t wal_records = 0;
  int64_t wal_series = 0;
  int64_t wal_samples = 0;
  int64_t damages = 0;
  int64_t notes = 0;
};

/// Reads every byte of a Db's directory that no Db has open, or of a snapshot,
/// and checks every checksum and every reference: manifest -> block file and
/// index rows -> chunks -> samples, counts and times; the log's records and the
/// series that they name. Changes nothing. Memory is bounded by the largest
/// record of the log, 16 bytes for each of its series, the labels of a block and
/// a few MiB.
///
/// FailedPrecondition: in use by a Db, not a Db's directory, or of a newer
/// version. Other errors are the disk's. Damage is no error.
absl::StatusOr<VerifySummary> VerifyDirectory(const VerifyOptions& options);

}  // namespace varve
