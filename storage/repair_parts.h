#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/block_store.h"
#include "storage/index_reader.h"
#include "storage/repair.h"
#include "storage/verify_wal.h"

namespace varve {

// The parts of RepairDirectory: what they share, and one function per kind of
// file. All are single-thread.

/// Takes what is damaged out of the way, and keeps the books.
class RepairWork {
 public:
  explicit RepairWork(const RepairOptions& options) : options_(options) {}

  const RepairOptions& options() const { return options_; }
  FileSystem* fs() const { return options_.fs; }
  std::string PathOf(std::string_view name) const {
    return options_.directory + "/" + std::string(name);
  }
  RepairSummary summary;
  /// By the manifest that the repair leaves.
  SealedTimes sealed;

  /// Says what was done; `name` is relative to the directory.
  void Did(std::string_view name, std::string_view what);
  /// Moves a file or directory into the quarantine; gives its path there.
  absl::StatusOr<std::string> Move(const std::string& name);
  /// Gives it a second name there; for what is replaced in one step later.
  absl::StatusOr<std::string> Keep(const std::string& name);

 private:
  absl::StatusOr<std::string> Place(const std::string& name);

  const RepairOptions options_;
  std::string quarantine_;  // "" until it is needed
};

/// A block of which something is damaged, with its files in the quarantine.
struct DamagedBlock {
  BlockInfo info;         ///< as far as it is known
  bool is_named = false;  ///< the manifest names it
  std::string path;       ///< of the block file; "" when it is gone
  std::shared_ptr<const IndexRows> rows;  ///< null: there are none
  std::string reason;
};

/// Sees to it that there is an index with a manifest that can be relied on, and
/// tells which blocks must be made anew.
absl::StatusOr<std::vector<DamagedBlock>> RepairIndex(RepairWork* work);
/// Replaces these blocks by what can be read of them.
absl::Status RepairBlocks(std::vector<DamagedBlock> damaged, RepairWork* work);
/// Writes the files of the log anew that hold anything else than good records.
absl::Status RepairWal(RepairWork* work);

}  // namespace varve
