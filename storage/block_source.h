#pragma once

#include <memory>

#include "storage/block.h"
#include "storage/block_mask.h"
#include "storage/index_reader.h"
#include "storage/series_source.h"

namespace varve {

/// One block and its index as a source, without the samples that `deletions`
/// (null: none) names. What cannot be read is left out and named by a warning;
/// the rest is served.
///
/// A series of which nothing is left in the range asked for is not given. Names
/// and values are listed as long as a series has them of which the deletions
/// leave anything, as far as the times that block and deletion span tell.
std::shared_ptr<const SeriesSource> MakeBlockSource(
    std::shared_ptr<const Block> block,
    std::shared_ptr<const IndexReader> index,
    std::shared_ptr<const BlockDeletions> deletions = nullptr);

/// Of floats the caller only looks whether they are there: any number may be
/// given for a value that is not the stale marker.
bool NeedsOnlyPresence(const SelectHints& hints);

/// True for errors that end a query, rather than cost it some of the data.
bool EndsQuery(const absl::Status& status);

}  // namespace varve
