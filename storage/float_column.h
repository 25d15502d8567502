#pragma once

#include <absl/status/status.h>

#include <span>
#include <string>
#include <string_view>

namespace varve {

// A column of doubles on disk; every bit pattern survives. The first byte says
// how it is coded, so that better codecs can come without a change of the
// formats around it (storage/block.md has the bytes).

/// Appends the column. Neither the number of values nor of bytes is stored.
void PutFloatColumn(std::string* out, std::span<const double> values);

/// Reads `out.size()` values from exactly `bytes`. DataLoss when the bytes are
/// not a column of so many values, Unimplemented when a newer version wrote it.
absl::Status GetFloatColumn(std::string_view bytes, std::span<double> out);
/// The same for who only looks for stale markers: a column that has none may be
/// given as zeros, unread.
absl::Status GetFloatPresence(std::string_view bytes, std::span<double> out);

}  // namespace varve
