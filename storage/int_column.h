#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <span>
#include <string>

#include "storage/coding.h"

namespace varve {

// A column of 64-bit integers on disk: timestamps, histogram buckets, lengths.
// The first byte says how it is coded, so that better codecs can come without a
// change of the formats around it (storage/block.md has the bytes). All
// arithmetic wraps, so every int64 survives.

/// Appends the column. The number of values is not stored.
void PutIntColumn(std::string* out, std::span<const int64_t> values);

/// Reads `out.size()` values and leaves `in` behind the column. DataLoss when
/// the bytes are not a column of so many values, Unimplemented when a newer
/// version wrote it.
absl::Status GetIntColumn(Decoder* in, std::span<int64_t> out);

}  // namespace varve
