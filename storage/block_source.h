#pragma once

#include <memory>

#include "storage/block.h"
#include "storage/index_reader.h"
#include "storage/series_source.h"

namespace varve {

/// One block and its index as a source. What cannot be read is left out and
/// named by a warning; the rest is served.
std::shared_ptr<const SeriesSource> MakeBlockSource(
    std::shared_ptr<const Block> block,
    std::shared_ptr<const IndexReader> index);

/// True for errors that end a query, rather than cost it some of the data.
bool EndsQuery(const absl::Status& status);

}  // namespace varve
