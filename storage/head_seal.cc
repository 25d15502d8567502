#include <absl/container/btree_set.h>

#include <algorithm>
#include <limits>

#include "storage/head.h"
#include "storage/head_cursor.h"
#include "storage/series_order.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Series between two looks at who else wants in.
constexpr SeriesRef kSlice = 4096;
/// Samples that a block's chunk is filled up to, if the kind stays the same.
constexpr size_t kSealedChunkSamples = 2048;

constexpr int64_t kMinTime = std::numeric_limits<int64_t>::min();

}  // namespace

std::unique_ptr<HeadSeal> Head::BeginSeal(int64_t cutoff_ms) {
  auto seal = std::make_unique<HeadSeal>();
  seal->window_ms_ = window_ms_;
  seal->cutoff_ms_ = cutoff_ms;
  seal->memory_ = memory_;
  next_min_ms_.store(std::numeric_limits<int64_t>::max());

  std::vector<SeriesRef> with_side;
  int64_t open_min = std::numeric_limits<int64_t>::max();
  const SeriesRef limit = table_.limit();
  for (SeriesRef begin = table_.SkipUnused(0); begin < limit;
       begin = table_.SkipUnused(begin + kSlice)) {
    RoomGuard room(&rooms_, TwoRooms::kFirst);
    const SeriesRef end = std::min(limit, begin + kSlice);
    for (SeriesRef ref = begin; ref < end; ref = table_.SkipUnused(ref + 1)) {
      SeriesLine& line = table_.line(ref);
      if (line.labels.load(std::memory_order_acquire) == SlabArena::kNull) {
        continue;
      }
      LineLock lock(&line);
      if (line.tail.count > 0 && line.tail.first_t < cutoff_ms) {
        CloseChunk(ref, &line);
      }
      if (line.tail.count > 0) open_min = std::min(open_min, line.tail.first_t);
      if ((line.flags & SeriesLine::kHasSide) != 0) with_side.push_back(ref);
    }
  }
  {
    // Chunks are closed inside the writers' room only: with the writers out,
    // nobody is about to add one to a window that is taken away here.
    RoomGuard room(&rooms_, TwoRooms::kSecond);
    MutexLock lock(&windows_mutex_);
    for (const auto& chunks : windows_) {
      const int64_t start = int64_t{chunks->window()} * window_ms_;
      if (start >= cutoff_ms) {
        open_min = std::min(open_min, start);
        continue;
      }
      seal->windows_.push_back(chunks);
      current_.erase(chunks->window());
    }
  }
  LowerTo(&next_min_ms_, open_min);
  for (SeriesRef ref : with_side) {
    auto slice = side_.Read(ref, kMinTime, cutoff_ms - 1);
    if (!slice.empty() || !slice.starts.empty()) {
      seal->side_.emplace(ref, std::move(slice));
    }
  }
  CollectRefs(seal.get(), limit);
  return seal;
}

/// The series that have anything to seal, in SeriesLess order.
void Head::CollectRefs(HeadSeal* seal, SeriesRef limit) const {
  std::vector<SeriesRef> refs;
  std::vector<std::span<const PairId>> pairs;
  for (SeriesRef ref = table_.SkipUnused(0); ref < limit;
       ref = table_.SkipUnused(ref + 1)) {
    const bool any = std::any_of(
        seal->windows_.begin(), seal->windows_.end(), [&](const auto& chunks) {
          return chunks->newest(ref) != WindowChunks::kNull;
        });
    if (!any && !seal->side_.contains(ref)) continue;
    refs.push_back(ref);
    pairs.push_back(table_.PairsOf(ref));
  }
  const std::vector<uint32_t> order = SeriesOrder(memory_->index, pairs);
  seal->refs_.reserve(order.size());
  seal->pairs_.reserve(order.size());
  for (const uint32_t at : order) {
    seal->refs_.push_back(refs[at]);
    seal->pairs_.push_back(pairs[at]);
  }
}

void Head::FinishSeal(const HeadSeal& seal) {
  {
    // Queries that began before see the samples in the blocks as well.
    RoomGuard room(&rooms_, TwoRooms::kFirst);
    MutexLock lock(&windows_mutex_);
    std::erase_if(windows_, [&](const auto& chunks) {
      return std::find(seal.windows_.begin(), seal.windows_.end(), chunks) !=
             seal.windows_.end();
    });
  }
  for (const auto& [ref, sealed] : seal.side_) {
    RoomGuard room(&rooms_, TwoRooms::kFirst);
    SeriesLine& line = table_.line(ref);
    LineLock lock(&line);
    SideTable::Slice slice = sealed;
    // A sample that came after the cut stays, and so does its start.
    std::erase_if(slice.starts, [&, r = ref](const auto& start) {
      return FindInChunks(r, line, start.first, 0) !=
             SideTable::Found::kNothing;
    });
    side_.Erase(ref, slice);
    if (!side_.Has(ref)) {
      line.flags &= static_cast<uint8_t>(
          ~(SeriesLine::kHasSide | SeriesLine::kHasHistograms));
    }
  }
  {
    // With the writers out, no time is noted between the load and the store.
    RoomGuard room(&rooms_, TwoRooms::kSecond);
    LowerTo(&next_min_ms_, side_.min_time());
    min_ms_.store(next_min_ms_.load());
  }
  reclaimer_.Advance();
}

std::vector<int64_t> HeadSeal::windows() const {
  absl::btree_set<int64_t> starts;
  for (const auto& chunks : windows_) {
    starts.insert(int64_t{chunks->window()} * window_ms_);
  }
  for (const auto& [ref, slice] : side_) {
    for (const auto& [t, value] : slice.floats) {
      starts.insert(WindowOf(t, window_ms_) * window_ms_);
    }
    for (const auto& [t, point] : slice.histograms) {
      starts.insert(WindowOf(t, window_ms_) * window_ms_);
    }
  }
  return {starts.begin(), starts.end()};
}

namespace {

/// The part of a slice inside [start_ms, end_ms].
SideTable::Slice SubSlice(const SideTable::Slice& slice, int64_t start_ms,
                          int64_t end_ms) {
  SideTable::Slice out;
  const auto copy = [&](const auto& from, auto* to) {
    auto at = std::lower_bound(
        from.begin(), from.end(), start_ms,
        [](const auto& entry, int64_t t) { return entry.first < t; });
    for (; at != from.end() && at->first <= end_ms; ++at) to->push_back(*at);
  };
  copy(slice.floats, &out.floats);
  copy(slice.histograms, &out.histograms);
  copy(slice.starts, &out.starts);
  return out;
}

/// Adds a batch to the chunks of a block, filling up the last one.
void AddToChunks(SampleColumns batch, std::vector<SampleColumns>* chunks) {
  if (chunks->empty() || chunks->back().kind != batch.kind ||
      chunks->back().size() + batch.size() > kSealedChunkSamples) {
    chunks->push_back(std::move(batch));
    return;
  }
  SampleColumns& last = chunks->back();
  const auto append = [](auto* to, const auto& from) {
    to->insert(to->end(), from.begin(), from.end());
  };
  if (!batch.start_timestamps.empty() || !last.start_timestamps.empty()) {
    last.start_timestamps.resize(last.size(), kNoStartTimestamp);
    batch.start_timestamps.resize(batch.size(), kNoStartTimestamp);
    append(&last.start_timestamps, batch.start_timestamps);
  }
  append(&last.timestamps, batch.timestamps);
  append(&last.values, batch.values);
  append(&last.histograms, batch.histograms);
}

}  // namespace

absl::Status HeadSeal::ForEachSeries(
    int64_t window_start_ms,
    const std::function<absl::Status(
        const Labels& labels, std::span<const SampleColumns>)>& f) const {
  const int64_t end_ms = window_start_ms + window_ms_ - 1;
  Head::WindowList windows;
  for (const auto& window : windows_) {
    if (window->window() * window_ms_ == window_start_ms) {
      windows.push_back(window);
    }
  }
  std::vector<SampleColumns> chunks;
  SampleColumns batch;
  for (size_t i = 0; i < refs_.size(); ++i) {
    HeadSeries parts;
    parts.start_ms = window_start_ms;
    parts.end_ms = end_ms;
    for (const auto& window : windows) {
      const auto newest = window->newest(refs_[i]);
      if (newest != WindowChunks::kNull) {
        parts.chunks.emplace_back(window.get(), newest);
      }
    }
    SideTable::Slice slice;
    if (const auto side = side_.find(refs_[i]); side != side_.end()) {
      slice = SubSlice(side->second, window_start_ms, end_ms);
      parts.side = &slice;
    }
    if (parts.chunks.empty() && slice.empty()) continue;
    const auto cursor = MakeHeadCursor(std::move(parts));
    chunks.clear();
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, cursor->Next(&batch));
      if (!more) break;
      AddToChunks(std::move(batch), &chunks);
    }
    if (chunks.empty()) continue;
    VARVE_RETURN_IF_ERROR(f(memory_->index.LabelsOf(pairs_[i]), chunks));
  }
  return absl::OkStatus();
}

bool Head::HoldsNothing(SeriesRef ref, const SeriesLine& line,
                        const WindowList& windows) const {
  if (line.tail.count > 0 || (line.flags & SeriesLine::kHasSide) != 0) {
    return false;
  }
  return std::none_of(windows.begin(), windows.end(), [&](const auto& chunks) {
    return chunks->newest(ref) != WindowChunks::kNull;
  });
}

std::vector<SeriesRef> Head::IdleSeries(int64_t idle_before_ms) const {
  std::vector<SeriesRef> out;
  const WindowList windows = Windows();
  for (SeriesRef ref = table_.SkipUnused(0); ref < table_.limit();
       ref = table_.SkipUnused(ref + 1)) {
    SeriesLine& line = table_.line(ref);
    if (line.labels.load(std::memory_order_acquire) == SlabArena::kNull) {
      continue;
    }
    LineLock lock(&line);
    const bool idle = (line.flags & SeriesLine::kHasLast) == 0 ||
                      line.tail.last_t < idle_before_ms;
    if (idle && HoldsNothing(ref, line, windows)) out.push_back(ref);
  }
  return out;
}

int64_t Head::Collect(const std::vector<SeriesRef>& refs,
                      int64_t idle_before_ms, uint64_t segment) {
  const WindowList windows = Windows();
  struct Gone {
    SlabArena::Handle labels;
    size_t words;
  };
  auto gone = std::make_shared<std::vector<Gone>>();
  auto pairs = std::make_shared<std::vector<PairId>>();
  for (SeriesRef ref : refs) {
    SeriesLine& line = table_.line(ref);
    {
      LineLock lock(&line);
      const bool idle = (line.flags & SeriesLine::kHasLast) == 0 ||
                        line.tail.last_t < idle_before_ms;
      if (!idle || !HoldsNothing(ref, line, windows)) continue;
    }
    const size_t words = (table_.PairsOf(ref).size() + 2) / 2;
    SlabArena::Handle labels;
    table_.Remove(ref, &labels, pairs.get());
    gone->push_back({labels, words});
    table_.Recycle(ref, segment);
  }
  const auto n = static_cast<int64_t>(gone->size());
  reclaimer_.Retire([memory = memory_.get(), gone, pairs] {
    for (const Gone& g : *gone) memory->labels.Free(g.labels, g.words);
    memory->index.FreePairs(*pairs);
  });
  reclaimer_.Advance();
  return n;
}

}  // namespace varve
