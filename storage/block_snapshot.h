#pragma once

#include <memory>
#include <string>
#include <vector>

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
  std::shared_ptr<const IndexReader> index;
  std::shared_ptr<const SeriesSource> source;
};

/// Blocks as one source. A call touches only the blocks whose samples lie in
/// the hints' time range; one that is set aside becomes a warning.
std::shared_ptr<const SeriesSource> MakeSnapshotSource(
    std::vector<std::shared_ptr<const SnapshotBlock>> blocks);

}  // namespace varve
