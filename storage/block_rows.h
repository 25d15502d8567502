#pragma once

#include <cstdint>
#include <memory>

#include "storage/index_reader.h"
#include "storage/row_file_reader.h"
#include "storage/row_store.h"

namespace varve {

/// The index rows of a block in the store.
std::shared_ptr<const IndexRows> MakeStoredIndexRows(
    std::shared_ptr<const RowStore> rows, int32_t day, uint16_t part);
/// The same in a file of rows that belongs to no store.
std::shared_ptr<const IndexRows> MakeFileIndexRows(
    std::shared_ptr<const RowFileReader> file, int32_t day, uint16_t part);

}  // namespace varve
