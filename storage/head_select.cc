#include <algorithm>
#include <limits>
#include <set>

#include "storage/head.h"
#include "storage/head_cursor.h"
#include "storage/merge_source.h"
#include "storage/series_order.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Tries to find all new series before the matchers are put to all of them with
/// the writers kept out.
constexpr int kMatchTries = 3;

std::span<const PairId> PairsOfRef(const void* table, SeriesRef ref) {
  return static_cast<const SeriesTable*>(table)->PairsOf(ref);
}

void Limit(std::vector<std::string>* texts, int64_t limit) {
  if (limit > 0 && texts->size() > static_cast<size_t>(limit) + 1) {
    texts->resize(static_cast<size_t>(limit) + 1);
  }
}

}  // namespace

/// What one Select() saw: copies of the found series' lines and everything that
/// those point at. Immutable once built.
class HeadSnapshot {
 public:
  struct Series {
    SeriesRef ref;
    std::span<const PairId> pairs;
    GorillaTail tail;
    int32_t side = -1;  // index into sides, -1: none
  };

  HeadSnapshot(const Head& head, const SelectHints& hints)
      : memory_(head.memory_),
        pin_(head.reclaimer_.pin()),
        start_ms_(hints.start_ms),
        end_ms_(hints.end_ms) {}

  /// Finds the series and copies them, all at one instant.
  absl::Status Take(const Head& head, QueryContext& context,
                    std::span<const Matcher> matchers);

  size_t size() const { return series_.size(); }
  std::span<const PairId> pairs(size_t i) const { return series_[i].pairs; }
  Labels LabelsOf(size_t i) const {
    return memory_->index.LabelsOf(series_[i].pairs);
  }
  /// `self` keeps this alive in the cursor.
  static std::unique_ptr<SeriesCursor> Cursor(
      const std::shared_ptr<const HeadSnapshot>& self, size_t i);
  /// Puts the series into SeriesLess order.
  void Sort();
  const LabelIndex& index() const { return memory_->index; }

 private:
  void Copy(const Head& head, const std::vector<SeriesRef>& refs);
  bool CopySide(const Head& head, SeriesRef ref, Series* series);

  const std::shared_ptr<HeadMemory> memory_;
  const Reclaimer::Pin pin_;  // before memory_ ends
  const int64_t start_ms_;
  const int64_t end_ms_;
  Head::WindowList windows_;
  std::vector<Series> series_;
  /// windows_.size() per series, in the order of copying.
  std::vector<WindowChunks::Handle> newest_;
  std::vector<uint32_t> newest_at_;
  std::vector<SideTable::Slice> sides_;
};

bool HeadSnapshot::CopySide(const Head& head, SeriesRef ref, Series* series) {
  SideTable::Slice slice = head.side_.Read(ref, start_ms_, end_ms_);
  const bool any = !slice.empty();
  if (any || !slice.starts.empty()) {
    series->side = static_cast<int32_t>(sides_.size());
    sides_.push_back(std::move(slice));
  }
  return any;
}

void HeadSnapshot::Copy(const Head& head, const std::vector<SeriesRef>& refs) {
  series_.clear();
  newest_.clear();
  sides_.clear();
  windows_.clear();
  for (auto& chunks : head.Windows()) {
    const int64_t start = int64_t{chunks->window()} * head.window_ms_;
    if (start <= end_ms_ && start + head.window_ms_ > start_ms_) {
      windows_.push_back(std::move(chunks));
    }
  }
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < refs.size(); ++i) {
    if (i + kAhead < refs.size()) {
      __builtin_prefetch(&head.table_.line(refs[i + kAhead]));
    }
    const SeriesRef ref = refs[i];
    const SeriesLine& line = head.table_.line(ref);
    Series series{ref, head.table_.PairsOf(ref), GorillaTail(), -1};
    if (series.pairs.empty()) continue;  // collected meanwhile: it is empty
    bool any = false;
    // Writers are kept out, so the line is read without its lock.
    if (line.tail.count > 0 && line.tail.first_t <= end_ms_ &&
        line.tail.last_t >= start_ms_) {
      series.tail = line.tail;
      any = true;
    }
    for (const auto& chunks : windows_) {
      newest_.push_back(chunks->newest(ref));
      any |= newest_.back() != WindowChunks::kNull;
    }
    if ((line.flags & SeriesLine::kHasSide) != 0) {
      any |= CopySide(head, ref, &series);
    }
    if (any) {
      series_.push_back(series);
    } else {
      newest_.resize(newest_.size() - windows_.size());
    }
  }
}

absl::Status HeadSnapshot::Take(const Head& head, QueryContext& context,
                                std::span<const Matcher> matchers) {
  const LabelIndex& index = memory_->index;
  for (int attempt = 0;; ++attempt) {
    const uint64_t created = index.created();
    std::vector<SeriesRef> refs;
    const auto match = [&]() -> absl::Status {
      VARVE_ASSIGN_OR_RETURN(
          refs, index.Match(context, matchers, &head.table_, PairsOfRef));
      return absl::OkStatus();
    };
    if (attempt < kMatchTries) VARVE_RETURN_IF_ERROR(match());
    VARVE_RETURN_IF_ERROR(context.ChargeBytes(static_cast<int64_t>(
        refs.size() * (sizeof(Series) + 2 * sizeof(uint32_t)))));
    RoomGuard room(&head.rooms_, TwoRooms::kSecond);
    if (attempt >= kMatchTries) {
      VARVE_RETURN_IF_ERROR(match());
    } else {
      // A batch that is visible now may have made series since the match.
      std::vector<SeriesRef> fresh;
      if (!index.CreatedSince(created, &fresh)) continue;
      if (!fresh.empty()) {
        // A ref may even name another series than at the match.
        std::sort(fresh.begin(), fresh.end());
        std::erase_if(refs, [&](SeriesRef ref) {
          return std::binary_search(fresh.begin(), fresh.end(), ref);
        });
        fresh.erase(std::unique(fresh.begin(), fresh.end()), fresh.end());
        for (SeriesRef ref : fresh) {
          const auto pairs = head.table_.PairsOf(ref);
          if (!pairs.empty() && index.Matches(pairs, matchers)) {
            refs.push_back(ref);
          }
        }
      }
    }
    Copy(head, refs);
    return absl::OkStatus();
  }
}

void HeadSnapshot::Sort() {
  std::vector<std::span<const PairId>> pairs;
  pairs.reserve(series_.size());
  for (const Series& series : series_) pairs.push_back(series.pairs);
  newest_at_ = SeriesOrder(memory_->index, pairs);
  std::vector<Series> sorted;
  sorted.reserve(series_.size());
  for (const uint32_t at : newest_at_) sorted.push_back(series_[at]);
  series_ = std::move(sorted);
}

std::unique_ptr<SeriesCursor> HeadSnapshot::Cursor(
    const std::shared_ptr<const HeadSnapshot>& self, size_t i) {
  const Series& series = self->series_[i];
  HeadSeries parts;
  parts.owner = self;
  parts.tail = series.tail;
  parts.blocks = &self->memory_->blocks_of(series.ref);
  parts.start_ms = self->start_ms_;
  parts.end_ms = self->end_ms_;
  const size_t windows = self->windows_.size();
  for (size_t w = 0; w < windows; ++w) {
    const auto newest = self->newest_[self->newest_at_[i] * windows + w];
    if (newest != WindowChunks::kNull) {
      parts.chunks.emplace_back(self->windows_[w].get(), newest);
    }
  }
  if (series.side >= 0) {
    parts.side = &self->sides_[static_cast<size_t>(series.side)];
  }
  return MakeHeadCursor(std::move(parts));
}

namespace {

class HeadSet final : public SeriesSet {
 public:
  explicit HeadSet(std::shared_ptr<const HeadSnapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}

  absl::StatusOr<bool> Next() override {
    if (next_ == snapshot_->size()) return false;
    labels_ = snapshot_->LabelsOf(next_++);
    return true;
  }
  const Labels& labels() const override { return labels_; }
  std::unique_ptr<SeriesCursor> Cursor() override {
    return HeadSnapshot::Cursor(snapshot_, next_ - 1);
  }

 private:
  const std::shared_ptr<const HeadSnapshot> snapshot_;
  size_t next_ = 0;
  Labels labels_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SeriesSet>> Head::Select(
    QueryContext& context, std::span<const Matcher> matchers,
    const SelectHints& hints) const {
  VARVE_RETURN_IF_ERROR(context.Check());
  auto snapshot = std::make_shared<HeadSnapshot>(*this, hints);
  VARVE_RETURN_IF_ERROR(snapshot->Take(*this, context, matchers));
  snapshot->Sort();
  return std::make_unique<HeadSet>(std::move(snapshot));
}

absl::StatusOr<std::vector<std::string>> Head::LabelNames(
    QueryContext& context, std::span<const Matcher> matchers,
    const SelectHints& hints) const {
  std::vector<std::string> out;
  if (hints.end_ms < min_ms() || hints.start_ms > max_ms()) return out;
  if (matchers.empty()) {
    out = memory_->index.Names();
  } else {
    HeadSnapshot snapshot(*this, hints);
    VARVE_RETURN_IF_ERROR(snapshot.Take(*this, context, matchers));
    std::set<std::string_view> names;
    for (size_t i = 0; i < snapshot.size(); ++i) {
      for (PairId id : snapshot.pairs(i)) {
        names.insert(memory_->index.pair(id).name);
      }
    }
    out.assign(names.begin(), names.end());
  }
  Limit(&out, hints.limit);
  return out;
}

absl::StatusOr<std::vector<std::string>> Head::LabelValues(
    QueryContext& context, std::string_view name,
    std::span<const Matcher> matchers, const SelectHints& hints) const {
  std::vector<std::string> out;
  if (hints.end_ms < min_ms() || hints.start_ms > max_ms()) return out;
  if (matchers.empty()) {
    out = memory_->index.Values(name);
  } else {
    HeadSnapshot snapshot(*this, hints);
    VARVE_RETURN_IF_ERROR(snapshot.Take(*this, context, matchers));
    std::set<PairId> found;
    for (size_t i = 0; i < snapshot.size(); ++i) {
      for (PairId id : snapshot.pairs(i)) {
        if (memory_->index.pair(id).name == name) found.insert(id);
      }
    }
    for (PairId id : found) {
      out.emplace_back(memory_->index.pair(id).value);
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
  }
  Limit(&out, hints.limit);
  return out;
}

}  // namespace varve
