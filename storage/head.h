#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/block_store.h"
#include "storage/db.h"
#include "storage/deletion.h"
#include "storage/exemplar_ring.h"
#include "storage/reclaimer.h"
#include "storage/series_source.h"
#include "storage/series_table.h"
#include "storage/side_table.h"
#include "storage/two_rooms.h"
#include "storage/window_chunks.h"
#include "storage/write_batch.h"

namespace varve {

/// floor(t / window_ms), also before 1970.
inline int64_t WindowOf(int64_t t, int64_t window_ms) {
  return t / window_ms - (t % window_ms < 0 ? 1 : 0);
}

class HeadSeal;

inline void LowerTo(std::atomic<int64_t>* minimum, int64_t v) {
  int64_t old = minimum->load(std::memory_order_relaxed);
  while (v < old &&
         !minimum->compare_exchange_weak(old, v, std::memory_order_relaxed)) {
  }
}
inline void RaiseTo(std::atomic<int64_t>* maximum, int64_t v) {
  int64_t old = maximum->load(std::memory_order_relaxed);
  while (v > old &&
         !maximum->compare_exchange_weak(old, v, std::memory_order_relaxed)) {
  }
}

/// The samples that are not in a block yet, in memory. Thread-safe.
///
/// Visibility: writers and snapshots take turns in two rooms (TwoRooms).
/// Apply() is inside the writers' room while it stores a batch, many at once;
/// Select() is inside the other one while it copies the lines of the series it
/// found, many at once too. So a snapshot holds each batch as a whole or not at
/// all, over all its series, and no sample carries a sequence number. The copy
/// takes some 20 ns per series; matching and decoding run outside.
///
/// Lock order: rooms -> stripe -> (refs, index) -> line -> windows, side table.
class Head final : public SeriesSource {
 public:
  /// 1 minute <= window_ms, so that window numbers of all sensible times fit
  /// 32 bits.
  explicit Head(int64_t window_ms);
  ~Head() override;

  static constexpr int64_t kTimeMax = int64_t{1} << 46;  ///< year 4199

  int64_t window_ms() const { return window_ms_; }
  SeriesTable& table() { return table_; }
  const SeriesTable& table() const { return table_; }
  Labels LabelsOf(SeriesRef ref) const;

  /// Stores a batch; what cannot be stored is counted in `result`. Samples that
  /// are too old or too far ahead and invalid histograms were taken out by the
  /// caller. REQUIRES: every ref is live, |t| < kTimeMax.
  void Apply(const WriteBatch& batch, WriteResult* result);
  /// The newest sample's time, INT64_MIN when the series has none yet.
  int64_t NewestOf(SeriesRef ref) const;

  /// True when it is new or differs from what was known.
  bool MetadataDiffers(const WriteBatch::FamilyMetadata& metadata) const;
  std::vector<std::pair<std::string, Metadata>> AllMetadata() const;
  ExemplarRing& exemplars() { return exemplars_; }
  const ExemplarRing& exemplars() const { return exemplars_; }

  // SeriesSource
  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override;
  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override;
  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override;

  // Deleting.
  /// Series that one of the selectors names and that may hold samples in the
  /// range, ascending. REQUIRES: nobody collects series.
  std::vector<SeriesRef> Holding(const Selectors& selectors,
                                 TimeRange range) const;
  /// Takes out the samples that it holds now; returns how many. Series stay,
  /// also empty ones. REQUIRES: no Apply, no seal and no Collect under way.
  int64_t Delete(const Selectors& selectors, TimeRange range);

  // Sealing; one thread at a time.
  /// Closes the open chunks of windows that end at or before `cutoff_ms` (a
  /// multiple of the window) and gives all samples before it. They stay
  /// readable in the head until FinishSeal.
  std::unique_ptr<HeadSeal> BeginSeal(int64_t cutoff_ms);
  /// Drops what the seal holds, which now stands in blocks.
  void FinishSeal(const HeadSeal& seal);
  /// Series that hold no sample and got none since `idle_before_ms`.
  std::vector<SeriesRef> IdleSeries(int64_t idle_before_ms) const;
  /// Removes those of `refs` that still hold nothing; their refs are recycled
  /// once the log is cut before `segment`. REQUIRES: no writer uses any ref.
  /// Returns how many.
  int64_t Collect(const std::vector<SeriesRef>& refs, int64_t idle_before_ms,
                  uint64_t segment);

  int64_t max_ms() const { return max_ms_.load(std::memory_order_relaxed); }
  int64_t min_ms() const { return min_ms_.load(std::memory_order_relaxed); }
  /// Samples out of order and histograms, which wait for a seal.
  int64_t SideSamplesBefore(int64_t time_ms) const {
    return side_.SamplesBefore(time_ms);
  }
  void FillStats(DbStats* stats) const;
  CardinalityStats Cardinality(size_t limit) const;

 private:
  friend class HeadSeal;
  friend class HeadSnapshot;
  friend class HeadCheckpoint;
  friend class HeadLoader;
  using WindowList = std::vector<std::shared_ptr<WindowChunks>>;
  enum class Stored : uint8_t { kNew, kSame, kDuplicate };

  Stored AddFloat(SeriesRef ref, int64_t t, double v);
  Stored AddFloatSlowly(SeriesRef ref, SeriesLine* line, int64_t t, double v);
  void AppendInOrder(SeriesRef ref, SeriesLine* line, int64_t t, double v);
  Stored AddHistogram(const WriteBatch::HistogramSample& sample);
  void CloseChunk(SeriesRef ref, SeriesLine* line);
  /// Where chunks of a window go now.
  WindowChunks* CurrentWindow(int32_t window);
  /// Oldest first, so that a series' chunks follow each other in time.
  WindowList Windows() const;
  /// Looks for a float at `t` in the open and the closed chunks.
  SideTable::Found FindInChunks(SeriesRef ref, const SeriesLine& line,
                                int64_t t, double v) const;
  bool HoldsAny(SeriesRef ref, const SeriesLine& line,
                const WindowList& windows, TimeRange range) const;
  int64_t DeleteFrom(SeriesRef ref, SeriesLine* line, const WindowList& windows,
                     TimeRange range);
  int64_t DeleteFromTail(SeriesRef ref, SeriesLine* line, TimeRange range);
  /// After a deletion: the newest sample in order that is left.
  void FindLast(SeriesRef ref, SeriesLine* line, const WindowList& windows);
  void NoteTimes(int64_t min_ms, int64_t max_ms);
  void CollectRefs(HeadSeal* seal, SeriesRef limit) const;
  bool HoldsNothing(SeriesRef ref, const SeriesLine& line,
                    const WindowList& windows) const;

  const int64_t window_ms_;
  // Outlive the reclaimer, whose end frees into them.
  const std::shared_ptr<HeadMemory> memory_;
  SeriesTable table_;
  SideTable side_;
  Reclaimer reclaimer_;
  ExemplarRing exemplars_;

  /// kFirst: writers, kSecond: snapshots.
  mutable TwoRooms rooms_;

  mutable Mutex windows_mutex_;
  WindowList windows_ ABSL_GUARDED_BY(windows_mutex_);
  std::map<int32_t, WindowChunks*> current_ ABSL_GUARDED_BY(windows_mutex_);

  mutable Mutex metadata_mutex_;
  std::map<std::string, Metadata> metadata_ ABSL_GUARDED_BY(metadata_mutex_);

  std::atomic<int64_t> max_ms_;
  /// A lower bound of the times held; `next_min_ms_` is gathered while a seal
  /// runs and replaces it afterwards.
  std::atomic<int64_t> min_ms_;
  std::atomic<int64_t> next_min_ms_;
  std::atomic<int64_t> appended_{0};
};

/// All samples of the head before a time, as they are handed to block builders.
/// Single-thread.
class HeadSeal {
 public:
  /// Starts of the windows that have samples, ascending.
  std::vector<int64_t> windows() const;
  /// Calls `f` for every series with samples in that window, in SeriesLess
  /// order. No lock is held.
  absl::Status ForEachSeries(
      int64_t window_start_ms,
      const std::function<absl::Status(
          const Labels& labels, std::span<const SampleColumns>)>& f) const;
  int64_t cutoff_ms() const { return cutoff_ms_; }

 private:
  friend class Head;
  int64_t window_ms_ = 0;
  int64_t cutoff_ms_ = 0;
  std::shared_ptr<HeadMemory> memory_;
  Head::WindowList windows_;
  /// In SeriesLess order.
  std::vector<SeriesRef> refs_;
  std::vector<std::span<const PairId>> pairs_;
  absl::flat_hash_map<SeriesRef, SideTable::Slice> side_;
};

}  // namespace varve
