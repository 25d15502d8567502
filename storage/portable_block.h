#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "storage/block.h"
#include "storage/file_system.h"
#include "storage/index_reader.h"

namespace varve {

// A portable block is a block file with its index rows inside: it opens without
// a BlockStore, wherever it is. Blocks leave the store in this form.

/// Writes a portable copy of a block and its index to `path`: the samples byte
/// for byte. The file is complete and synced when this returns (the caller
/// syncs the directory), and gone when it fails. Gives its size. DataLoss when
/// any page of the block, or any row of the index, is damaged. Memory: the
/// largest index row and some pages.
absl::StatusOr<uint64_t> WritePortableBlock(const Block& block,
                                            const IndexReader& index,
                                            FileSystem* fs,
                                            const std::string& path);

struct PortableBlock {
  std::shared_ptr<const Block> block;
  std::shared_ptr<const IndexReader> index;  ///< keeps the block open
};

/// Opens one; MakeBlockSource makes a source of it. DataLoss when the file is
/// damaged or has no index inside, Unimplemented when a newer version wrote it.
absl::StatusOr<PortableBlock> OpenPortableBlock(FileSystem* fs,
                                                const std::string& path);

}  // namespace varve
