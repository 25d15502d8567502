#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
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

  /// Where a body with this hash stands; `own` if there is none yet, which is
  /// remembered.
  ChunkPlace FindOrAdd(Hash hash, ChunkPlace own) {
    const auto [it, is_new] = young_.try_emplace(hash, own);
    if (!is_new) return it->second;
    if (const auto old = old_.find(hash); old != old_.end()) {
      it->second = old->second;
    }
    const ChunkPlace place = it->second;
    if (young_.size() == kGeneration) {
      old_ = std::move(young_);
      young_.clear();
    }
    return place;
  }

 private:
  absl::flat_hash_map<Hash, ChunkPlace> young_;
  absl::flat_hash_map<Hash, ChunkPlace> old_;
};

}  // namespace varve
