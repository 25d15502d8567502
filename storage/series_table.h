#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "storage/gorilla.h"
#include "storage/label_index.h"
#include "storage/labels.h"
#include "storage/mutex.h"
#include "storage/paged_array.h"
#include "storage/slab_arena.h"
#include "storage/write_batch.h"

namespace varve {

/// Everything a sample of a known series touches, in one cache line.
struct alignas(64) SeriesLine {
  /// The open chunk; with count 0 its last_t and last_v still tell the newest
  /// in-order sample. Guarded by the lock.
  GorillaTail tail;
  /// The pair list in LabelMemory, kNull: no series.
  std::atomic<SlabArena::Handle> labels{SlabArena::kNull};
  uint32_t hash = 0;  ///< high half of the labels' hash
  /// The window of the open chunk. Guarded by the lock.
  int32_t window = 0;
  std::atomic<uint8_t> lock{0};
  uint8_t flags = 0;  ///< guarded by the lock
  uint16_t spare = 0;

  static constexpr uint8_t kHasLast = 1;        ///< last_t, last_v are real
  static constexpr uint8_t kHasSide = 2;        ///< something is in SideTable
  static constexpr uint8_t kHasHistograms = 4;  ///< among it histograms
};
static_assert(sizeof(SeriesLine) == 64);

/// A spin lock of one byte: it is held for some nanoseconds, and a mutex per
/// sample would cost 30.
class LineLock {
 public:
  explicit LineLock(SeriesLine* line) : line_(line) {
    while (line_->lock.exchange(1, std::memory_order_acquire) != 0) {
      while (line_->lock.load(std::memory_order_relaxed) != 0) Pause();
    }
  }
  ~LineLock() { line_->lock.store(0, std::memory_order_release); }
  LineLock(const LineLock&) = delete;
  LineLock& operator=(const LineLock&) = delete;

 private:
  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  SeriesLine* line_;
};

/// Memory that a query may still read when the head has moved on.
struct HeadMemory {
  static constexpr size_t kBlockArenas = 8;
  SlabArena blocks[kBlockArenas];  ///< of open chunks, by ref
  SlabArena labels;                ///< pair lists: count, then ids (u32)
  LabelIndex index;

  SlabArena& blocks_of(SeriesRef ref) { return blocks[ref % kBlockArenas]; }
  const SlabArena& blocks_of(SeriesRef ref) const {
    return blocks[ref % kBlockArenas];
  }
  /// The pairs of a list in `labels`.
  std::span<const PairId> PairsAt(SlabArena::Handle handle) const {
    const auto* at = reinterpret_cast<const uint32_t*>(labels.at(handle));
    return {at + 1, at[0]};
  }
};

/// The head's series: label set -> ref, and a line for each ref. 256 stripes
/// by hash, so that a growing table stops nobody for long. Thread-safe but
/// where noted.
class SeriesTable {
 public:
  explicit SeriesTable(HeadMemory* memory) : memory_(memory) {}

  /// Most labels of a series.
  static constexpr size_t kLabelsMax = 4000;

  /// Finds the series or creates it. `log` is called before a new series can
  /// be found by anyone; when it fails, nothing was created.
  using Log = std::function<absl::Status(SeriesRef ref, const Labels& labels)>;
  absl::StatusOr<SeriesRef> Resolve(const Labels& labels, const Log& log);
  /// kNoSeries when there is no such series.
  SeriesRef Find(const Labels& labels) const;
  /// For replay: creates the series under this ref if it is free, else under
  /// another; gives the ref under which the label set is known now.
  absl::StatusOr<SeriesRef> CreateAt(SeriesRef ref, const Labels& labels);
  /// For the loading of a checkpoint: creates series under these refs, each
  /// with the pairs `ids[ends[i - 1]..ends[i])` (interned) and the hash of its
  /// labels. Those whose ref or label set is taken are left out: `created[i]`
  /// says. The lines are empty.
  void CreateMany(std::span<const SeriesRef> refs, std::span<const PairId> ids,
                  std::span<const size_t> ends,
                  std::span<const uint64_t> hashes, std::vector<bool>* created);
  /// Returns when every series whose record was logged before the call can be
  /// found.
  void AwaitCreation() const;
  /// For replay: the ref stands in the log, so nobody else may get it soon.
  void Reserve(SeriesRef ref);
  /// After replay: Recycle() for every ref below limit() without a series.
  void RecycleUnused(uint64_t segment);

  SeriesLine& line(SeriesRef ref) const { return lines_.at(ref); }
  /// nullptr when no such series was ever made.
  SeriesLine* find_line(SeriesRef ref) const { return lines_.find(ref); }
  /// Empty when there is no such series now.
  std::span<const PairId> PairsOf(SeriesRef ref) const;
  /// The first ref from `ref` on that may have a series, at most limit(). Refs
  /// may be few and far between.
  SeriesRef SkipUnused(SeriesRef ref) const {
    return static_cast<SeriesRef>(lines_.SkipMissing(ref, limit()));
  }
  /// One past the highest ref in use.
  SeriesRef limit() const { return limit_.load(std::memory_order_acquire); }

  /// Makes the series unfindable; its memory and the ref stay taken until
  /// Forget and Recycle. REQUIRES: nobody else uses the ref.
  void Remove(SeriesRef ref, SlabArena::Handle* labels,
              std::vector<PairId>* unused_pairs);
  /// The ref may be given out again once the log is cut before `segment`.
  void Recycle(SeriesRef ref, uint64_t segment);
  void LogWasCutBefore(uint64_t segment);

  int64_t size() const { return created() - removed(); }
  int64_t created() const { return created_.load(std::memory_order_relaxed); }
  int64_t removed() const { return removed_.load(std::memory_order_relaxed); }
  int64_t bytes() const;

 private:
  struct Entry {
    uint32_t tag;
    SeriesRef ref;  // kNoSeries: free; kErased
  };
  struct Stripe {
    mutable Mutex mutex;
    std::vector<Entry> entries ABSL_GUARDED_BY(mutex);
    size_t used ABSL_GUARDED_BY(mutex) = 0;  // erased ones included
    size_t live ABSL_GUARDED_BY(mutex) = 0;
  };
  static constexpr size_t kStripes = 256;
  static constexpr SeriesRef kErased = kNoSeries - 1;

  /// `equal` is asked about the pairs of series with this hash.
  template <typename Equal>
  SeriesRef FindIfLocked(const Stripe& stripe, uint64_t hash,
                         const Equal& equal) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  SeriesRef FindLocked(const Stripe& stripe, uint64_t hash,
                       const Labels& labels) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mutex);
  void InsertLocked(Stripe* stripe, uint64_t hash, SeriesRef ref)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe->mutex);
  void CreateLocked(Stripe* stripe, SeriesRef ref, uint64_t hash,
                    const Labels& labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe->mutex);
  /// Fills the line of a new series; from here on it has labels.
  void SetLine(SeriesRef ref, uint64_t hash, std::span<const PairId> ids);
  SeriesRef TakeRef();
  void ReturnRef(SeriesRef ref);

  HeadMemory* const memory_;
  Stripe stripes_[kStripes];
  PagedArray<SeriesLine, 12, (size_t{1} << 16)> lines_;
  std::atomic<SeriesRef> limit_{0};
  std::atomic<int64_t> created_{0};
  std::atomic<int64_t> removed_{0};

  Mutex refs_mutex_;  ///< after a stripe's
  /// Never empty.
  struct RefRange {
    SeriesRef first;
    SeriesRef end;
  };
  void RecycleRange(RefRange refs, uint64_t segment);
  std::vector<RefRange> free_refs_ ABSL_GUARDED_BY(refs_mutex_);
  std::deque<std::pair<RefRange, uint64_t>> waiting_refs_
      ABSL_GUARDED_BY(refs_mutex_);
};

}  // namespace varve
