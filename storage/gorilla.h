#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/slab_arena.h"

namespace varve {

// The head's chunk: samples of one series as they come, about two bytes each.
// A bit stream, the first bit highest; the first sample's time stands beside
// it:
//
//   first    0 | 1 value                 value 0, or XOR with 0
//   others   0                           same delta, same value
//            10 value                    same delta
//            110 run:7                   so many times "same delta, same value"
//            111 size:2 dod c [value]    delta of the delta in 8, 16, 32 or 64
//                                        bits (two's complement); c: changed?
//   value    0 bits                      XOR with the last value, in the last
//                                        window of bits
//            1 lead:5 width-1:6 bits     a new window
//
// Any bit pattern of a value and any timestamps survive (differences wrap); the
// difference of neighbours must fit 32 bits, see GorillaFits.
//
// An open chunk is a GorillaTail plus a chain of blocks in a SlabArena, of 4,
// 4, 8, 8 and 16 words: the first word of a block holds the handle of the one
// before. Blocks only grow at their end, so a copy of the tail is a snapshot:
// words before tail.words never change while the blocks live.

inline constexpr unsigned kGorillaSamplesMax = 120;
/// Words that an open chunk may have when a sample is added: with that sample
/// and the unfinished word it is a chunk of about 256 bytes at most.
inline constexpr unsigned kGorillaWordsFull = 30;
/// Words of a closed chunk at most.
inline constexpr unsigned kGorillaWordsMax = 35;

/// Thread-compatible; 48 bytes, see the budget of a series.
struct GorillaTail {
  int64_t first_t = 0;
  int64_t last_t = 0;
  uint64_t last_v = 0;
  uint64_t acc = 0;  ///< bits that do not fill a word yet
  int32_t delta = 0;
  SlabArena::Handle block = SlabArena::kNull;  ///< the newest block
  uint8_t count = 0;                           ///< samples
  uint8_t words = 0;                           ///< full words in the blocks
  uint8_t run = 0;       ///< repeats at the end, not written yet
  uint8_t acc_bits = 0;  ///< in acc
  uint8_t lead = 0;      ///< the last window of bits
  uint8_t width = 0;     ///< 0: none yet
};
static_assert(sizeof(GorillaTail) == 48);

/// Whether GorillaAppend may take a sample at `t` (else: close the chunk).
inline bool GorillaFits(const GorillaTail& tail, int64_t t) {
  if (tail.count == 0) return true;
  const auto delta = static_cast<int64_t>(static_cast<uint64_t>(t) -
                                          static_cast<uint64_t>(tail.last_t));
  return tail.count < kGorillaSamplesMax && tail.words < kGorillaWordsFull &&
         delta == static_cast<int32_t>(delta);
}

/// REQUIRES: GorillaFits(*tail, t).
void GorillaAppend(GorillaTail* tail, SlabArena* arena, int64_t t,
                   uint64_t value_bits);

/// Writes the whole chunk as contiguous words; returns how many. `out` has room
/// for kGorillaWordsMax. The tail may be a copy of an older state.
size_t GorillaFinish(const GorillaTail& tail, const SlabArena& arena,
                     uint64_t* out);

/// Makes the chain of blocks of an open chunk whose other fields are set and
/// whose `tail->words` full words are these. REQUIRES: at most
/// kGorillaWordsMax.
void GorillaRestore(GorillaTail* tail, SlabArena* arena, const uint64_t* words);

/// Frees the blocks of a chain.
void GorillaFree(const GorillaTail& tail, SlabArena* arena);
/// Calls `f(handle, words)` for every block of the chain.
template <typename F>
void GorillaForEachBlock(const GorillaTail& tail, const SlabArena& arena,
                         const F& f);

/// Decodes `count` samples; the outputs have room for them.
void GorillaDecode(const uint64_t* words, size_t word_count, int64_t first_t,
                   size_t count, int64_t* timestamps, double* values);

// ---- implementation details

namespace internal {
inline constexpr unsigned kGorillaBlocks = 5;
/// Words of each block, its header word included, and its first payload word.
inline constexpr uint8_t kGorillaBlockWords[kGorillaBlocks] = {4, 4, 8, 8, 16};
inline constexpr uint8_t kGorillaBlockStart[kGorillaBlocks] = {0, 3, 6, 13, 20};
static_assert(kGorillaBlockStart[4] + kGorillaBlockWords[4] - 1 ==
              kGorillaWordsMax);
/// The block in which payload word `i` stands.
inline unsigned GorillaBlockOf(unsigned i) {
  return i < 6 ? (i < 3 ? 0 : 1) : i < 13 ? 2 : i < 20 ? 3 : 4;
}
}  // namespace internal

template <typename F>
void GorillaForEachBlock(const GorillaTail& tail, const SlabArena& arena,
                         const F& f) {
  if (tail.words == 0) return;
  SlabArena::Handle block = tail.block;
  for (unsigned b = internal::GorillaBlockOf(tail.words - 1U) + 1; b-- > 0;) {
    const auto previous = static_cast<SlabArena::Handle>(*arena.at(block));
    f(block, internal::kGorillaBlockWords[b]);
    block = previous;
  }
}

}  // namespace varve
