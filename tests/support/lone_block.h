#pragma once

#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "tests/support/block_data.h"

namespace varve {

/// Key and value of each row, in order.
using IndexRowList = std::vector<std::pair<std::string, std::string>>;

/// Writes the samples of `data` inside `window` to a block file at `path`, in
/// chunks of at most `chunk_samples`, and returns the rows of its index: what a
/// BlockStore does, without a store that knows of them; with `differences` as a
/// merge does. Its directory must exist. A failure aborts the test program.
IndexRowList WriteLoneBlock(FileSystem* fs, const std::string& path,
                            const MapSource& data, TimeWindow window,
                            size_t chunk_samples, bool differences = false);

}  // namespace varve
