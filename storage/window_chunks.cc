#include "storage/window_chunks.h"

#include <cstring>

#include "storage/check.h"

namespace varve {

void WindowChunks::Append(SeriesRef ref, const GorillaTail& tail,
                          const SlabArena& arena) {
  uint64_t words[kGorillaWordsMax];
  const size_t n = GorillaFinish(tail, arena, words);
  Append(ref, {tail.first_t, tail.last_t, words, tail.count,
               static_cast<uint16_t>(n), kNull});
}

void WindowChunks::Append(SeriesRef ref, const Chunk& chunk) {
  const size_t n = chunk.word_count;
  const auto size = static_cast<uint32_t>(n + kHeaderWords);
  uint32_t at = next_.load(std::memory_order_relaxed);
  uint32_t begin;
  do {
    // A chunk stands in one page.
    const uint32_t room = (1U << kPageBits) - (at & ((1U << kPageBits) - 1));
    begin = room >= size ? at : at + room;
    VARVE_CHECK(begin < std::numeric_limits<uint32_t>::max() - size);
  } while (!next_.compare_exchange_weak(at, begin + size,
                                        std::memory_order_relaxed));
  std::atomic<Handle>& newest = newest_.Ensure(ref);
  uint64_t* to = &words_.Ensure(begin);
  to[0] = newest.load(std::memory_order_relaxed) | uint64_t{chunk.count} << 32 |
          uint64_t{n} << 48;
  to[1] = static_cast<uint64_t>(chunk.first_t);
  to[2] = static_cast<uint64_t>(chunk.last_t);
  std::memcpy(to + kHeaderWords, chunk.words, n * sizeof(uint64_t));
  newest.store(begin, std::memory_order_release);
  chunks_.fetch_add(1, std::memory_order_relaxed);
  samples_.fetch_add(chunk.count, std::memory_order_relaxed);
}

WindowChunks::Chunk WindowChunks::at(Handle handle) const {
  const uint64_t* from = &words_.at(handle);
  Chunk chunk;
  chunk.previous = static_cast<Handle>(from[0]);
  chunk.count = static_cast<uint16_t>(from[0] >> 32);
  chunk.word_count = static_cast<uint16_t>(from[0] >> 48);
  chunk.first_t = static_cast<int64_t>(from[1]);
  chunk.last_t = static_cast<int64_t>(from[2]);
  chunk.words = from + kHeaderWords;
  return chunk;
}

}  // namespace varve
