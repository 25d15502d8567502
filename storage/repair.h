#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "storage/clock.h"
#include "storage/file_system.h"
#include "storage/log.h"

namespace varve {

struct RepairOptions {
  std::string directory;
  FileSystem* fs = FileSystem::Posix();
  Clock* clock = Clock::System();
  Logger logger;
  /// Told what is done, a sentence that names the file.
  std::function<void(std::string_view)> on_action;
};

struct RepairSummary {
  int64_t actions = 0;  ///< 0: there was nothing to do
  bool index_rebuilt = false;
  int64_t blocks_rewritten = 0;  ///< without what could not be read
  int64_t blocks_lost = 0;       ///< nothing of them could be kept
  int64_t series_lost = 0;       ///< of blocks, summed over them, where known
  int64_t samples_lost = 0;
  int64_t wal_files_rewritten = 0;
  int64_t wal_records_lost = 0;  ///< that were read and made no sense
  int64_t wal_bytes_lost = 0;    ///< that could not be read
};

/// Makes of a damaged Db's directory, which no Db has open, one that verifies
/// clean and serves all that can be read. Nothing is deleted: what is replaced
/// or cannot be read is in `<directory>/quarantine/<number>/` afterwards, under
/// its old names. When it is interrupted, run it again; blocks that it had just
/// set aside to make them anew stay in the quarantine then.
///
///   - A manifest of which rows may be lost is built anew from what the block
///     files say of themselves, with the index rows that can be read. Seal
///     marks are not kept: the next start reads all of the log, and what stands
///     in a block too is one sample. Deletions whose rows can be read are kept;
///     where others may be lost it says so, for their samples come back.
///   - Of a damaged block, or one whose index rows are damaged, the series are
///     kept whose labels can be read, with the chunks that can be read.
///   - Files of the log are written anew without what is no record or means
///     nothing.
///
/// FailedPrecondition: in use, not a Db's directory, or of a newer version.
absl::StatusOr<RepairSummary> RepairDirectory(const RepairOptions& options);

}  // namespace varve
