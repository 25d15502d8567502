#include <algorithm>
#include <bit>

#include "storage/check.h"
#include "storage/head.h"

namespace varve {
namespace {

/// Series between two looks at who else wants in.
constexpr size_t kSlice = 4096;

std::span<const PairId> PairsOfRef(const void* table, SeriesRef ref) {
  return static_cast<const SeriesTable*>(table)->PairsOf(ref);
}

}  // namespace

std::vector<SeriesRef> Head::Holding(const Selectors& selectors,
                                     TimeRange range) const {
  const Reclaimer::Pin pin = reclaimer_.pin();
  QueryContext context;  // without limits, so that no match fails
  std::vector<SeriesRef> refs;
  for (const auto& matchers : selectors) {
    if (matchers.empty()) continue;
    const auto found =
        memory_->index.Match(context, matchers, &table_, PairsOfRef);
    VARVE_CHECK(found.ok());
    refs.insert(refs.end(), found->begin(), found->end());
  }
  std::sort(refs.begin(), refs.end());
  refs.erase(std::unique(refs.begin(), refs.end()), refs.end());
  WindowList windows = Windows();
  std::erase_if(windows, [&](const auto& chunks) {
    const int64_t start = int64_t{chunks->window()} * window_ms_;
    return !range.Meets({start, start + window_ms_ - 1});
  });
  std::erase_if(refs, [&](SeriesRef ref) {
    SeriesLine& line = table_.line(ref);
    LineLock lock(&line);
    return !HoldsAny(ref, line, windows, range);
  });
  return refs;
}

bool Head::HoldsAny(SeriesRef ref, const SeriesLine& line,
                    const WindowList& windows, TimeRange range) const {
  const GorillaTail& tail = line.tail;
  if (tail.count > 0 && range.Meets({tail.first_t, tail.last_t})) return true;
  // A time that is only remembered counts: it stands in the way of a sample
  // that is written again.
  if ((line.flags & SeriesLine::kHasLast) != 0 &&
      range.Holds({tail.last_t, tail.last_t})) {
    return true;
  }
  if ((line.flags & SeriesLine::kHasSide) != 0) {
    const auto slice = side_.Read(ref, range.first_ms, range.last_ms);
    if (!slice.empty() || !slice.starts.empty()) return true;
  }
  return std::any_of(windows.begin(), windows.end(), [&](const auto& chunks) {
    return chunks->MayHold(ref, range.first_ms, range.last_ms);
  });
}

int64_t Head::Delete(const Selectors& selectors, TimeRange range) {
  const std::vector<SeriesRef> refs = Holding(selectors, range);
  const WindowList windows = Windows();
  int64_t deleted = 0;
  for (size_t begin = 0; begin < refs.size(); begin += kSlice) {
    // Snapshots read lines without their locks, so they are kept out.
    RoomGuard room(&rooms_, TwoRooms::kFirst);
    const size_t end = std::min(refs.size(), begin + kSlice);
    for (size_t i = begin; i < end; ++i) {
      SeriesLine& line = table_.line(refs[i]);
      LineLock lock(&line);
      deleted += DeleteFrom(refs[i], &line, windows, range);
    }
  }
  reclaimer_.Advance();
  return deleted;
}

int64_t Head::DeleteFrom(SeriesRef ref, SeriesLine* line,
                         const WindowList& windows, TimeRange range) {
  int64_t deleted = 0;
  for (const auto& chunks : windows) {
    const int64_t start = int64_t{chunks->window()} * window_ms_;
    if (!range.Meets({start, start + window_ms_ - 1})) continue;
    deleted += chunks->Delete(ref, range.first_ms, range.last_ms,
                              &memory_->blocks_of(ref));
  }
  deleted += DeleteFromTail(ref, line, range);
  if (line->tail.count == 0 && (line->flags & SeriesLine::kHasLast) != 0 &&
      range.Holds({line->tail.last_t, line->tail.last_t})) {
    FindLast(ref, line, windows);
  }
  if ((line->flags & SeriesLine::kHasSide) != 0) {
    deleted += side_.EraseRange(ref, range.first_ms, range.last_ms);
    if (!side_.Has(ref)) {
      line->flags &= static_cast<uint8_t>(
          ~(SeriesLine::kHasSide | SeriesLine::kHasHistograms));
    }
  }
  return deleted;
}

int64_t Head::DeleteFromTail(SeriesRef ref, SeriesLine* line, TimeRange range) {
  GorillaTail& tail = line->tail;
  if (tail.count == 0 || !range.Meets({tail.first_t, tail.last_t})) return 0;
  SlabArena& blocks = memory_->blocks_of(ref);
  int64_t times[kGorillaSamplesMax];
  double values[kGorillaSamplesMax];
  uint64_t words[kGorillaWordsMax];
  const size_t count = tail.count;
  const size_t n = GorillaFinish(tail, blocks, words);
  GorillaDecode(words, n, tail.first_t, count, times, values);
  const bool any = std::any_of(times, times + count, [&](int64_t t) {
    return range.Holds({t, t});
  });
  if (!any) return 0;
  const GorillaTail old = tail;
  reclaimer_.RetireChunk(old, &blocks);
  tail.count = 0;
  tail.words = 0;
  int64_t deleted = 0;
  for (size_t i = 0; i < count; ++i) {
    if (range.Holds({times[i], times[i]})) {
      ++deleted;
    } else {
      AppendInOrder(ref, line, times[i], values[i]);
    }
  }
  // With nothing left the newest time is still the old one.
  if (tail.count == 0) {
    tail.last_t = old.last_t;
    tail.last_v = old.last_v;
  }
  return deleted;
}

void Head::FindLast(SeriesRef ref, SeriesLine* line,
                    const WindowList& windows) {
  for (auto chunks = windows.rbegin(); chunks != windows.rend(); ++chunks) {
    const WindowChunks::Handle newest = (*chunks)->newest(ref);
    if (newest == WindowChunks::kNull) continue;
    const WindowChunks::Chunk chunk = (*chunks)->at(newest);
    int64_t times[kGorillaSamplesMax];
    double values[kGorillaSamplesMax];
    GorillaDecode(chunk.words, chunk.word_count, chunk.first_t, chunk.count,
                  times, values);
    line->tail.last_t = times[chunk.count - 1];
    line->tail.last_v = std::bit_cast<uint64_t>(values[chunk.count - 1]);
    return;
  }
  // A sample of any age is in order now.
  line->flags &= static_cast<uint8_t>(~SeriesLine::kHasLast);
}

}  // namespace varve
