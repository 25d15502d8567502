#include "storage/head.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "storage/check.h"

namespace varve {
namespace {

constexpr size_t kExemplarsMax = 100'000;
/// Samples ahead whose line is fetched into the cache: 142 -> 129 ns per sample
/// of the whole write path, HEAD-AND-QUERY-STUDY.
constexpr size_t kPrefetchAhead = 12;

bool SameBits(double a, uint64_t b) { return std::bit_cast<uint64_t>(a) == b; }

void Reject(WriteResult* result, Rejection reason, SeriesRef ref, int64_t t) {
  constexpr size_t kExamplesMax = 10;
  ++result->rejected[static_cast<size_t>(reason)];
  if (result->examples.size() < kExamplesMax) {
    result->examples.push_back({reason, ref, t});
  }
}

}  // namespace

Head::Head(int64_t window_ms)
    : window_ms_(window_ms),
      memory_(std::make_shared<HeadMemory>()),
      table_(memory_.get()),
      exemplars_(kExemplarsMax),
      max_ms_(std::numeric_limits<int64_t>::min()),
      min_ms_(std::numeric_limits<int64_t>::max()),
      next_min_ms_(std::numeric_limits<int64_t>::max()) {
  VARVE_CHECK(window_ms_ >= 60'000);
}

Head::~Head() = default;

Labels Head::LabelsOf(SeriesRef ref) const {
  return memory_->index.LabelsOf(table_.PairsOf(ref));
}

WindowChunks* Head::CurrentWindow(int32_t window) {
  MutexLock lock(&windows_mutex_);
  WindowChunks*& chunks = current_[window];
  if (chunks == nullptr) {
    auto fresh = std::make_shared<WindowChunks>(window);
    chunks = fresh.get();
    // After its older namesake, before later windows.
    const auto at = std::upper_bound(
        windows_.begin(), windows_.end(), window,
        [](int32_t w, const auto& other) { return w < other->window(); });
    windows_.insert(at, std::move(fresh));
  }
  return chunks;
}

Head::WindowList Head::Windows() const {
  MutexLock lock(&windows_mutex_);
  return windows_;
}

void Head::CloseChunk(SeriesRef ref, SeriesLine* line) {
  if (line->tail.count == 0) return;
  SlabArena& blocks = memory_->blocks_of(ref);
  CurrentWindow(line->window)->Append(ref, line->tail, blocks);
  reclaimer_.RetireChunk(line->tail, &blocks);
  line->tail.count = 0;
  line->tail.words = 0;
}

void Head::AppendInOrder(SeriesRef ref, SeriesLine* line, int64_t t, double v) {
  GorillaTail& tail = line->tail;
  if (tail.count > 0) {
    const int64_t window_end = (int64_t{line->window} + 1) * window_ms_;
    // Cuts are staggered, or all series would be cut in the same moment.
    const unsigned samples_max = kGorillaSamplesMax - line->hash % 25;
    if (t >= window_end || tail.count >= samples_max || !GorillaFits(tail, t)) {
      CloseChunk(ref, line);
    }
  }
  if (tail.count == 0) {
    line->window = static_cast<int32_t>(WindowOf(t, window_ms_));
  }
  GorillaAppend(&tail, &memory_->blocks_of(ref), t, std::bit_cast<uint64_t>(v));
  line->flags |= SeriesLine::kHasLast;
}

SideTable::Found Head::FindInChunks(SeriesRef ref, const SeriesLine& line,
                                    int64_t t, double v) const {
  int64_t times[kGorillaSamplesMax];
  double values[kGorillaSamplesMax];
  const auto search = [&](size_t count) {
    const int64_t* at = std::lower_bound(times, times + count, t);
    if (at == times + count || *at != t) return SideTable::Found::kNothing;
    return SameBits(v, std::bit_cast<uint64_t>(values[at - times]))
               ? SideTable::Found::kSame
               : SideTable::Found::kOther;
  };
  const GorillaTail& tail = line.tail;
  if (tail.count > 0 && t >= tail.first_t) {
    if (t > tail.last_t) return SideTable::Found::kNothing;
    uint64_t words[kGorillaWordsMax];
    const size_t n = GorillaFinish(tail, memory_->blocks_of(ref), words);
    GorillaDecode(words, n, tail.first_t, tail.count, times, values);
    return search(tail.count);
  }
  const auto window = static_cast<int32_t>(WindowOf(t, window_ms_));
  for (const auto& chunks : Windows()) {
    if (chunks->window() != window) continue;
    for (auto at = chunks->newest(ref); at != WindowChunks::kNull;) {
      const WindowChunks::Chunk chunk = chunks->at(at);
      if (t >= chunk.first_t && t <= chunk.last_t) {
        GorillaDecode(chunk.words, chunk.word_count, chunk.first_t, chunk.count,
                      times, values);
        return search(chunk.count);
      }
      at = chunk.previous;
    }
  }
  return SideTable::Found::kNothing;
}

Head::Stored Head::AddFloatSlowly(SeriesRef ref, SeriesLine* line, int64_t t,
                                  double v) {
  const auto stored = [](SideTable::Found found) {
    return found == SideTable::Found::kSame ? Stored::kSame
                                            : Stored::kDuplicate;
  };
  const bool has_last = (line->flags & SeriesLine::kHasLast) != 0;
  if (has_last && t == line->tail.last_t) {
    return SameBits(v, line->tail.last_v) ? Stored::kSame : Stored::kDuplicate;
  }
  if ((line->flags & SeriesLine::kHasSide) != 0) {
    const auto found = side_.FindFloat(ref, t, v);
    if (found != SideTable::Found::kNothing) return stored(found);
  }
  if (!has_last || t > line->tail.last_t) {
    AppendInOrder(ref, line, t, v);
    return Stored::kNew;
  }
  const auto found = FindInChunks(ref, *line, t, v);
  if (found != SideTable::Found::kNothing) return stored(found);
  side_.AddFloat(ref, t, v);
  line->flags |= SeriesLine::kHasSide;
  return Stored::kNew;
}

Head::Stored Head::AddFloat(SeriesRef ref, int64_t t, double v) {
  SeriesLine& line = table_.line(ref);
  LineLock lock(&line);
  const uint8_t kinds =
      line.flags & (SeriesLine::kHasLast | SeriesLine::kHasHistograms);
  if (kinds == SeriesLine::kHasLast && t > line.tail.last_t) [[likely]] {
    AppendInOrder(ref, &line, t, v);
    return Stored::kNew;
  }
  return AddFloatSlowly(ref, &line, t, v);
}

Head::Stored Head::AddHistogram(const WriteBatch::HistogramSample& sample) {
  SeriesLine& line = table_.line(sample.ref);
  LineLock lock(&line);
  const int64_t t = sample.timestamp_ms;
  if ((line.flags & SeriesLine::kHasSide) != 0) {
    const auto found = side_.FindHistogram(sample.ref, t, *sample.histogram);
    if (found == SideTable::Found::kSame) return Stored::kSame;
    if (found == SideTable::Found::kOther) return Stored::kDuplicate;
  }
  if ((line.flags & SeriesLine::kHasLast) != 0 && t <= line.tail.last_t &&
      (t == line.tail.last_t ||
       FindInChunks(sample.ref, line, t, 0) != SideTable::Found::kNothing)) {
    return Stored::kDuplicate;
  }
  side_.AddHistogram(sample.ref, t,
                     {sample.histogram, sample.start_timestamp_ms});
  line.flags |= SeriesLine::kHasSide | SeriesLine::kHasHistograms;
  return Stored::kNew;
}

void Head::NoteTimes(int64_t min_ms, int64_t max_ms) {
  LowerTo(&min_ms_, min_ms);
  LowerTo(&next_min_ms_, min_ms);
  RaiseTo(&max_ms_, max_ms);
}

void Head::Apply(const WriteBatch& batch, WriteResult* result) {
  int64_t min_ms = std::numeric_limits<int64_t>::max();
  int64_t max_ms = std::numeric_limits<int64_t>::min();
  int64_t added = 0;
  RoomGuard room(&rooms_, TwoRooms::kFirst);
  const auto count = [&](Stored stored, SeriesRef ref, int64_t t,
                         int64_t* stored_count) {
    if (stored == Stored::kDuplicate) {
      Reject(result, Rejection::kDuplicate, ref, t);
      return;
    }
    ++*stored_count;
    added += stored == Stored::kNew;
    min_ms = std::min(min_ms, t);
    max_ms = std::max(max_ms, t);
  };
  const size_t n = batch.refs.size();
  for (size_t i = 0; i < n; ++i) {
    if (i + kPrefetchAhead < n) {
      __builtin_prefetch(&table_.line(batch.refs[i + kPrefetchAhead]), 1);
    }
    const SeriesRef ref = batch.refs[i];
    const int64_t t = batch.timestamps[i];
    const Stored stored = AddFloat(ref, t, batch.values[i]);
    count(stored, ref, t, &result->samples_stored);
    if (!batch.start_timestamps.empty() && stored == Stored::kNew &&
        batch.start_timestamps[i] != kNoStartTimestamp) {
      side_.AddStart(ref, t, batch.start_timestamps[i]);
      LineLock lock(&table_.line(ref));
      table_.line(ref).flags |= SeriesLine::kHasSide;
    }
  }
  for (const WriteBatch::HistogramSample& sample : batch.histograms) {
    count(AddHistogram(sample), sample.ref, sample.timestamp_ms,
          &result->histograms_stored);
  }
  for (const WriteBatch::ExemplarSample& sample : batch.exemplars) {
    if (exemplars_.Add(LabelsOf(sample.ref), sample.exemplar)) {
      ++result->exemplars_stored;
    } else {
      Reject(result, Rejection::kExemplar, sample.ref,
             sample.exemplar.timestamp_ms);
    }
  }
  if (!batch.metadata.empty()) {
    MutexLock lock(&metadata_mutex_);
    for (const auto& m : batch.metadata) metadata_[m.family] = m.metadata;
  }
  if (min_ms <= max_ms) NoteTimes(min_ms, max_ms);
  appended_.fetch_add(added, std::memory_order_relaxed);
}

int64_t Head::NewestOf(SeriesRef ref) const {
  SeriesLine& line = table_.line(ref);
  LineLock lock(&line);
  int64_t newest = std::numeric_limits<int64_t>::min();
  if ((line.flags & SeriesLine::kHasLast) != 0) newest = line.tail.last_t;
  if ((line.flags & SeriesLine::kHasHistograms) != 0) {
    newest = std::max(newest, side_.HistogramMax(ref));
  }
  return newest;
}

bool Head::MetadataDiffers(const WriteBatch::FamilyMetadata& metadata) const {
  MutexLock lock(&metadata_mutex_);
  const auto it = metadata_.find(metadata.family);
  return it == metadata_.end() || !(it->second == metadata.metadata);
}

std::vector<std::pair<std::string, Metadata>> Head::AllMetadata() const {
  MutexLock lock(&metadata_mutex_);
  return {metadata_.begin(), metadata_.end()};
}

}  // namespace varve
