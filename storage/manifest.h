#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/block_store.h"
#include "storage/deletion.h"
#include "storage/row_store.h"

namespace varve {

// How the block store's state stands in rows of the manifest, see
// storage/index.md. The first byte of a key is its kind.

/// The beginning of all keys of a block's index rows, and the key order of
/// blocks: day, then part; days before 1970 come first.
std::string BlockKey(int32_t day, uint16_t part);
/// The first key behind those that begin with `prefix`.
std::string KeyAfter(std::string_view prefix);
/// What BlockKey gave; false when `key` is shorter than one.
bool ParseBlockKey(std::string_view key, int32_t* day, uint16_t* part);

/// Days since 1970 of a time, rounded down. The result may not fit an int32.
int64_t DayOf(int64_t time_ms);

inline constexpr std::string_view kFactPrefix = "f";

/// Rows of a batch.
void PutBlockRow(const BlockInfo& info, RowStore::Batch* batch);
void DeleteBlockRow(const BlockInfo& info, RowStore::Batch* batch);
void PutMarkRow(const SealMark& mark, RowStore::Batch* batch);
void DeleteMarkRow(const SealMark& mark, RowStore::Batch* batch);
void PutNextPartRow(int32_t day, uint32_t next_part, RowStore::Batch* batch);
/// Also notes that the manifest has deletions in it.
void PutDeletionRow(const Deletion& deletion, RowStore::Batch* batch);
void DeleteDeletionRow(uint64_t number, RowStore::Batch* batch);

struct Manifest {
  std::vector<BlockInfo> blocks;  ///< by day and part
  std::map<int64_t, uint64_t> marks;
  std::map<int32_t, uint32_t> next_parts;
  std::vector<DeletionPtr> deletions;  ///< by number
};

/// Nothing was ever written to it, or all is lost.
absl::StatusOr<bool> ManifestIsNew(const RowStore& rows);
/// Reads all of it but the facts; writes the version into an empty one.
/// Unimplemented when a newer version wrote it, DataLoss when a row makes no
/// sense.
absl::StatusOr<Manifest> ReadManifest(RowStore* rows);
/// The rows that can be read and make sense, for a repair.
Manifest SalvageManifest(const RowStore& rows);

}  // namespace varve
