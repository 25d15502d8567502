#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace varve {

// Writing one packed block of an adaptive column: at most kPackedBlock words in
// `width` bits each above a base; words that do not fit are exceptions.

struct BlockPlan {
  uint64_t base = 0;
  uint32_t bytes = 0;      ///< of the whole block
  uint8_t width = 0;       ///< 0..64
  uint8_t exceptions = 0;  ///< how many
};

/// The fewest bytes with this base. Signed order counts: words below the base
/// are exceptions.
BlockPlan PlanBlockWithBase(std::span<const uint64_t> words, uint64_t base);

/// The fewest bytes among a few likely bases: the smallest word, and where a
/// sample of the words says so a robust low one and the most frequent one. At
/// most a few per cent above the best of all bases (adaptive_ints_test).
BlockPlan PlanBlock(std::span<const uint64_t> words);

/// Appends the block.
void PutPackedBlock(std::string* out, std::span<const uint64_t> words,
                    const BlockPlan& plan);

/// Of a zigzag varint.
size_t ZigZagBytes(uint64_t word);

}  // namespace varve
