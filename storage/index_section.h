#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/block.h"
#include "storage/block_file.h"
#include "storage/index_reader.h"
#include "storage/index_writer.h"

namespace varve {

// The index rows of a block in the block file itself (storage/block.md, kinds 5
// and 6), so that it can be read with nothing else at hand. Rows stand in
// groups that are compressed apart: one row costs the reading of one group.

/// Puts rows into a block file, after its other sections. Single-thread.
class IndexSectionWriter {
 public:
  /// Begins the section. `file` must outlive the writer.
  explicit IndexSectionWriter(BlockFileWriter* file);

  /// REQUIRES: keys (kind, number) ascend strictly.
  absl::Status Add(IndexRow kind, uint32_t number, std::string_view value);
  /// Ends the section and adds the one that says where its groups stand.
  absl::Status Finish();

 private:
  absl::Status EndGroup();

  BlockFileWriter* const file_;
  // The group being filled.
  char kind_ = 0;
  uint32_t first_ = 0;
  uint32_t last_ = 0;
  std::string rows_;
  // Of the groups before it.
  std::string groups_;
  uint64_t count_ = 0;
};

/// The rows that stand in the block's file. DataLoss when there are none, or
/// when the list of groups is malformed. The result is thread-safe and keeps
/// the block open and a few groups in memory.
absl::StatusOr<std::shared_ptr<const IndexRows>> OpenIndexSection(
    std::shared_ptr<const Block> block);

}  // namespace varve
