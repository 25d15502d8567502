#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/block_mask.h"
#include "storage/block_source.h"
#include "storage/block_store.h"
#include "storage/index_reader.h"
#include "storage/series_source.h"

namespace varve {

/// A block of the store: its source, or why it is set aside. Immutable once it
/// is shared.
struct SnapshotBlock {
  BlockInfo info;
  std::string path;
  FileSystem* fs = nullptr;  ///< where it stands
  absl::Status damage;
  // Null if damaged.
  std::shared_ptr<const Block> block;
  std::shared_ptr<const IndexReader> index;
  std::shared_ptr<const SeriesSource> source;  ///< deleted samples included
};

/// A block and what is deleted of it (null: nothing).
struct SnapshotPart {
  std::shared_ptr<const SnapshotBlock> block;
  std::shared_ptr<const BlockDeletions> deletions;
};

/// Blocks as one source, without what is deleted. A call touches only the
/// blocks whose samples lie in the hints' time range; one that is set aside
/// becomes a warning.
std::shared_ptr<const SeriesSource> MakeSnapshotSource(
    std::vector<SnapshotPart> parts);

}  // namespace varve
