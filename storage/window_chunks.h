#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "storage/gorilla.h"
#include "storage/mutex.h"
#include "storage/paged_array.h"
#include "storage/write_batch.h"

namespace varve {

/// The closed chunks of one window, of all series, compact and append-only;
/// once the window is sealed they are freed together. A window that gets
/// samples after its sealing began has a second object.
///
/// Thread-safe, but for one series only one thread may append or delete at a
/// time. A chunk never changes; the chunks of a series form a list, the newest
/// first.
class WindowChunks {
 public:
  using Handle = uint32_t;
  static constexpr Handle kNull = 0;

  struct Chunk {
    int64_t first_t;
    int64_t last_t;
    const uint64_t* words;
    uint16_t count;
    uint16_t word_count;
    Handle previous;
  };

  explicit WindowChunks(int32_t window) : window_(window) {}

  int32_t window() const { return window_; }

  void Append(SeriesRef ref, const GorillaTail& tail, const SlabArena& arena);
  /// The same of a chunk that is complete; `previous` is not looked at.
  void Append(SeriesRef ref, const Chunk& chunk);
  /// Takes the samples of the series in [start_ms, end_ms] out of its list,
  /// with new chunks in the place of those that held some; returns how many. A
  /// list read before stays as it was. `arena` is worked in.
  int64_t Delete(SeriesRef ref, int64_t start_ms, int64_t end_ms,
                 SlabArena* arena);
  /// Whether a chunk of the series begins before the range ends and ends after
  /// it begins.
  bool MayHold(SeriesRef ref, int64_t start_ms, int64_t end_ms) const;
  /// kNull when the series has none.
  Handle newest(SeriesRef ref) const {
    const std::atomic<Handle>* slot = newest_.find(ref);
    return slot == nullptr ? kNull : slot->load(std::memory_order_acquire);
  }
  Chunk at(Handle handle) const;

  int64_t chunks() const { return chunks_.load(std::memory_order_relaxed); }
  int64_t samples() const { return samples_.load(std::memory_order_relaxed); }
  int64_t bytes() const { return words_.bytes() + newest_.bytes(); }

 private:
  /// Returns how many samples stayed.
  int64_t AppendWithout(SeriesRef ref, const Chunk& chunk, int64_t start_ms,
                        int64_t end_ms, SlabArena* arena);

  static constexpr unsigned kPageBits = 12;
  static constexpr size_t kHeaderWords = 3;

  const int32_t window_;
  std::atomic<int64_t> chunks_{0};
  std::atomic<int64_t> samples_{0};
  PagedArray<std::atomic<Handle>, 12, (size_t{1} << 16)> newest_;
  PagedArray<uint64_t, kPageBits, (size_t{1} << 19)> words_;
  /// Word 0 is never used, so that kNull names nothing.
  std::atomic<uint32_t> next_{1};
};

}  // namespace varve
