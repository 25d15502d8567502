#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

// Posting lists: ascending series ids of one block. On disk as in
// storage/index.md, in memory as arrays.
using Ids = std::vector<uint32_t>;

/// Appends a list. REQUIRES: not empty, strictly ascending.
void PutPosting(std::string* out, std::span<const uint32_t> ids);

/// How many ids the list has, without decoding it; 0 when it is malformed.
uint64_t PostingLength(std::string_view bytes);

/// Appends the ids of the list, which takes exactly `bytes`, to `out`. DataLoss
/// when it is malformed or names an id that is not below `series`.
absl::Status AppendPosting(std::string_view bytes, uint32_t series, Ids* out);

/// Sorts ids that come from lists without common members, of which each is
/// sorted. `series` is above every id.
void SortUnion(uint32_t series, Ids* ids);

/// Keeps the ids that are also in `other`. Cheap when one of the two is short.
void Intersect(Ids* ids, std::span<const uint32_t> other);
/// Removes the ids that are in `other`.
void Subtract(Ids* ids, std::span<const uint32_t> other);

/// A set of ids of one block, for probing. Immutable.
class IdBits {
 public:
  /// REQUIRES: every id is below `series`.
  IdBits(uint32_t series, std::span<const uint32_t> ids);
  bool Has(uint32_t id) const {
    return (words_[id / 64] >> (id % 64) & 1) != 0;
  }

 private:
  std::vector<uint64_t> words_;
};

/// Whether any id of the list is in `ids`, which is for so many `series`. Reads
/// no further than to the first one; DataLoss as AppendPosting, but for what
/// follows.
absl::StatusOr<bool> PostingIntersects(std::string_view bytes, uint32_t series,
                                       const IdBits& ids);

}  // namespace varve
