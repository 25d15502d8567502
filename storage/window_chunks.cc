#include "storage/window_chunks.h"

#include <bit>
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

int64_t WindowChunks::AppendWithout(SeriesRef ref, const Chunk& chunk,
                                    int64_t start_ms, int64_t end_ms,
                                    SlabArena* arena) {
  int64_t times[kGorillaSamplesMax];
  double values[kGorillaSamplesMax];
  GorillaDecode(chunk.words, chunk.word_count, chunk.first_t, chunk.count,
                times, values);
  int64_t kept = 0;
  GorillaTail tail;
  const auto close = [&] {
    if (tail.count > 0) Append(ref, tail, *arena);
    GorillaFree(tail, arena);
    tail = GorillaTail();
  };
  for (size_t i = 0; i < chunk.count; ++i) {
    if (times[i] >= start_ms && times[i] <= end_ms) continue;
    if (!GorillaFits(tail, times[i])) close();
    GorillaAppend(&tail, arena, times[i], std::bit_cast<uint64_t>(values[i]));
    ++kept;
  }
  close();
  return kept;
}

int64_t WindowChunks::Delete(SeriesRef ref, int64_t start_ms, int64_t end_ms,
                             SlabArena* arena) {
  // The chunks from the newest to the oldest that holds a time of the range;
  // what is older stays at the end of the list.
  std::vector<Chunk> chunks;
  size_t relinked = 0;
  for (Handle handle = newest(ref); handle != kNull;) {
    chunks.push_back(at(handle));
    handle = chunks.back().previous;
    if (chunks.back().last_t < start_ms) break;
    if (chunks.back().first_t <= end_ms) relinked = chunks.size();
  }
  if (relinked == 0) return 0;
  chunks.resize(relinked);
  newest_.Ensure(ref).store(chunks.back().previous, std::memory_order_release);
  int64_t deleted = 0;
  for (auto chunk = chunks.rbegin(); chunk != chunks.rend(); ++chunk) {
    chunks_.fetch_sub(1, std::memory_order_relaxed);
    samples_.fetch_sub(chunk->count, std::memory_order_relaxed);
    if (chunk->last_t < start_ms || chunk->first_t > end_ms) {
      Append(ref, *chunk);
    } else {
      deleted +=
          chunk->count - AppendWithout(ref, *chunk, start_ms, end_ms, arena);
    }
  }
  return deleted;
}

bool WindowChunks::MayHold(SeriesRef ref, int64_t start_ms,
                           int64_t end_ms) const {
  for (Handle handle = newest(ref); handle != kNull;) {
    const Chunk chunk = at(handle);
    if (chunk.last_t < start_ms) return false;
    if (chunk.first_t <= end_ms) return true;
    handle = chunk.previous;
  }
  return false;
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
