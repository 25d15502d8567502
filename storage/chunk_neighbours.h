#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "storage/chunk_codec.h"

namespace varve {

/// The values as integers, if all are, bit for bit: no -0.0, nothing beyond
/// 2^62.
std::optional<std::vector<int64_t>> ToIntegers(std::span<const double> values);

/// The last columns of integers that a block stores by themselves, for those
/// that follow and move like one of them: the buckets of a histogram count one
/// another's observations. Takes some 64 chunks' values of memory.
/// Single-thread.
class ChunkNeighbours {
 public:
  struct Column {
    uint64_t times = 0;  ///< names the timestamp column
    ChunkPlace place;
    std::vector<int64_t> integers;
  };

  /// The one from which `integers`, with the same times, differ by much smaller
  /// steps than their own; null if there is none. Valid until Remember().
  const Column* FindNear(uint64_t times,
                         std::span<const int64_t> integers) const;
  void Remember(Column column);

 private:
  /// A day of eight series at a sample every 15 s.
  static constexpr size_t kColumns = 64;
  static constexpr size_t kComparedMax = 8;

  std::vector<Column> ring_;
  size_t next_ = 0;  ///< the oldest, once the ring is full
};

}  // namespace varve
