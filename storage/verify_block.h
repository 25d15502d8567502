#pragma once

#include <memory>
#include <string>

#include "storage/block_store.h"
#include "storage/file_system.h"
#include "storage/findings.h"
#include "storage/index_reader.h"

namespace varve {

/// Reads a block file from end to end: every checksum, every chunk, and whether
/// samples, times and counts are what the file says of itself. Fills `info`
/// as far as it can be read. True when there is nothing to find.
bool VerifyBlockFile(FileSystem* fs, const std::string& path,
                     Findings* findings, BlockInfo* info);

/// Reads all index rows of a block of `series` series: names and values sorted
/// and unique, the label sets of the series ascending, and the posting lists
/// the same series that the label sets say. `file` is what findings name. True
/// when there is nothing to find.
bool VerifyIndexRows(std::shared_ptr<const IndexRows> rows, uint32_t series,
                     const std::string& file, Findings* findings);

}  // namespace varve
