#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "storage/chunk_codec.h"

namespace varve {

/// Which chunk bodies a block has, so that equal ones are stored once: the
/// upper buckets of a histogram and its count move together. It remembers the
/// last kGeneration at least and twice as many at most, each in some 40 bytes;
/// one that is found again counts as new. Single-thread.
class SharedBodies {
 public:
  /// A 128-bit hash of a body and its number of samples.
  using Hash = std::pair<uint64_t, uint64_t>;
  static constexpr size_t kGeneration = size_t{1} << 18;

  /// Where a body with this hash stands.
  std::optional<ChunkPlace> Find(Hash hash) {
    if (const auto it = young_.find(hash); it != young_.end()) {
      return it->second;
    }
    const auto it = old_.find(hash);
    if (it == old_.end()) return std::nullopt;
    const ChunkPlace place = it->second;
    Add(hash, place);
    return place;
  }

  void Add(Hash hash, ChunkPlace place) {
    if (young_.size() == kGeneration) {
      old_ = std::move(young_);
      young_.clear();
    }
    young_.emplace(hash, place);
  }

 private:
  absl::flat_hash_map<Hash, ChunkPlace> young_;
  absl::flat_hash_map<Hash, ChunkPlace> old_;
};

}  // namespace varve
