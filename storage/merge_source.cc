#include "storage/merge_source.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "storage/status_macros.h"

namespace varve {
namespace {

// Cursors overlap rarely (head and block during a seal, out-of-order blocks),
// so whole stretches are taken from one cursor: all of its samples before the
// next one of any other. Only equal times cost a comparison per sample.

/// One input of a merge: its batch and the position in it.
struct Input {
  std::unique_ptr<SeriesCursor> cursor;
  SampleColumns batch;
  size_t at = 0;

  int64_t time() const { return batch.timestamps[at]; }
};

constexpr size_t kBatchSamples = 512;

class MergeCursor final : public SeriesCursor {
 public:
  explicit MergeCursor(std::vector<std::unique_ptr<SeriesCursor>> cursors) {
    for (auto& cursor : cursors) {
      inputs_.push_back({std::move(cursor), SampleColumns(), 0});
    }
  }

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    out->Clear();
    if (!started_) {
      started_ = true;
      for (Input& input : inputs_) VARVE_RETURN_IF_ERROR(Refill(&input));
      DropEnded();
    }
    if (inputs_.size() == 1 && inputs_[0].at == 0) return PassThrough(out);
    while (!inputs_.empty() && out->size() < kBatchSamples) {
      VARVE_ASSIGN_OR_RETURN(const bool more, Step(out));
      if (!more) break;
    }
    return out->size() > 0;
  }

 private:
  absl::Status Refill(Input* input) {
    input->at = 0;
    VARVE_ASSIGN_OR_RETURN(const bool more, input->cursor->Next(&input->batch));
    if (!more) input->cursor.reset();
    return absl::OkStatus();
  }

  void DropEnded() {
    std::erase_if(inputs_, [](const Input& i) { return i.cursor == nullptr; });
  }

  /// The last input's batches need not be copied.
  absl::StatusOr<bool> PassThrough(SampleColumns* out) {
    std::swap(*out, inputs_[0].batch);
    VARVE_RETURN_IF_ERROR(Refill(&inputs_[0]));
    DropEnded();
    return true;
  }

  /// Moves one stretch to `out`; false when its kind does not fit there.
  absl::StatusOr<bool> Step(SampleColumns* out) {
    Input* first = &inputs_[0];
    for (Input& input : inputs_) {
      if (input.time() < first->time()) first = &input;
    }
    int64_t others = std::numeric_limits<int64_t>::max();
    bool alone = true;
    for (Input& input : inputs_) {
      if (&input == first) continue;
      others = std::min(others, input.time());
      alone = false;
    }
    if (out->size() > 0 && out->kind != first->batch.kind) return false;
    out->kind = first->batch.kind;
    const auto& times = first->batch.timestamps;
    const auto begin = times.begin() + static_cast<ptrdiff_t>(first->at);
    auto end =
        alone ? times.end() : std::lower_bound(begin, times.end(), others);
    // Equal times: the first input in order has won; it gives this one sample.
    if (end == begin) ++end;
    const int64_t last = *(end - 1);
    const auto to = static_cast<size_t>(end - times.begin());
    AppendColumns(first->batch, first->at, to, out);
    first->at = to;
    VARVE_RETURN_IF_ERROR(SkipTo(last));
    return true;
  }

  /// Leaves out every sample at or before `last` and refills what is used up.
  absl::Status SkipTo(int64_t last) {
    for (Input& input : inputs_) {
      while (input.cursor != nullptr) {
        while (input.at < input.batch.size() && input.time() <= last) {
          ++input.at;
        }
        if (input.at < input.batch.size()) break;
        VARVE_RETURN_IF_ERROR(Refill(&input));
      }
    }
    DropEnded();
    return absl::OkStatus();
  }

  std::vector<Input> inputs_;
  bool started_ = false;
};

/// A heap over the sets' current series; among equal label sets the source
/// that comes first is on top.
class MergeSet final : public SeriesSet {
 public:
  explicit MergeSet(std::vector<std::unique_ptr<SeriesSet>> sets)
      : sets_(std::move(sets)) {}

  absl::StatusOr<bool> Next() override {
    if (!started_) {
      started_ = true;
      for (size_t i = 0; i < sets_.size(); ++i) current_.push_back(i);
    }
    for (size_t i : current_) VARVE_RETURN_IF_ERROR(Advance(i));
    current_.clear();
    if (heap_.empty()) return false;
    Pop();
    while (!heap_.empty() && sets_[heap_.front()]->labels() == labels()) Pop();
    return true;
  }

  const Labels& labels() const override {
    return sets_[current_.front()]->labels();
  }

  std::unique_ptr<SeriesCursor> Cursor() override {
    if (current_.size() == 1) return sets_[current_.front()]->Cursor();
    std::vector<std::unique_ptr<SeriesCursor>> cursors;
    for (size_t i : current_) cursors.push_back(sets_[i]->Cursor());
    return MakeMergeCursor(std::move(cursors));
  }

 private:
  /// Order of a max-heap: true when `a` comes after `b`.
  bool After(size_t a, size_t b) const {
    const Labels& la = sets_[a]->labels();
    const Labels& lb = sets_[b]->labels();
    if (SeriesLess(lb, la)) return true;
    if (SeriesLess(la, lb)) return false;
    return a > b;
  }

  absl::Status Advance(size_t i) {
    VARVE_ASSIGN_OR_RETURN(const bool more, sets_[i]->Next());
    if (!more) return absl::OkStatus();
    heap_.push_back(i);
    std::push_heap(heap_.begin(), heap_.end(),
                   [this](size_t a, size_t b) { return After(a, b); });
    return absl::OkStatus();
  }

  void Pop() {
    std::pop_heap(heap_.begin(), heap_.end(),
                  [this](size_t a, size_t b) { return After(a, b); });
    current_.push_back(heap_.back());
    heap_.pop_back();
  }

  const std::vector<std::unique_ptr<SeriesSet>> sets_;
  std::vector<size_t> heap_;
  /// The sets that stand on the current series, ascending.
  std::vector<size_t> current_;
  bool started_ = false;
};

/// Sorted lists as one sorted list without duplicates, at most limit + 1 long.
std::vector<std::string> MergeTexts(std::vector<std::vector<std::string>> lists,
                                    int64_t limit) {
  if (lists.size() == 1) return std::move(lists[0]);
  std::vector<std::string> out;
  for (auto& list : lists) {
    out.insert(out.end(), std::make_move_iterator(list.begin()),
               std::make_move_iterator(list.end()));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  if (limit > 0 && out.size() > static_cast<size_t>(limit) + 1) {
    out.resize(static_cast<size_t>(limit) + 1);
  }
  return out;
}

class MergeSource final : public SeriesSource {
 public:
  explicit MergeSource(std::vector<std::shared_ptr<const SeriesSource>> sources)
      : sources_(std::move(sources)) {}

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    std::vector<std::unique_ptr<SeriesSet>> sets;
    SelectHints whole = hints;  // equal series are found by their labels
    whole.project = false;
    for (const auto& source : sources_) {
      VARVE_ASSIGN_OR_RETURN(auto set,
                             source->Select(context, matchers, whole));
      sets.push_back(std::move(set));
    }
    return MakeMergeSet(std::move(sets));
  }

  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    std::vector<std::vector<std::string>> lists;
    for (const auto& source : sources_) {
      VARVE_ASSIGN_OR_RETURN(auto names,
                             source->LabelNames(context, matchers, hints));
      lists.push_back(std::move(names));
    }
    return MergeTexts(std::move(lists), hints.limit);
  }

  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    std::vector<std::vector<std::string>> lists;
    for (const auto& source : sources_) {
      VARVE_ASSIGN_OR_RETURN(
          auto values, source->LabelValues(context, name, matchers, hints));
      lists.push_back(std::move(values));
    }
    return MergeTexts(std::move(lists), hints.limit);
  }

 private:
  const std::vector<std::shared_ptr<const SeriesSource>> sources_;
};

}  // namespace

void AppendColumns(const SampleColumns& batch, size_t from, size_t to,
                   SampleColumns* out) {
  const size_t had = out->size();
  const auto copy = [&](const auto& source, auto* target) {
    target->insert(target->end(), source.begin() + static_cast<ptrdiff_t>(from),
                   source.begin() + static_cast<ptrdiff_t>(to));
  };
  copy(batch.timestamps, &out->timestamps);
  if (batch.kind == SampleColumns::Kind::kFloat) {
    copy(batch.values, &out->values);
  } else {
    copy(batch.histograms, &out->histograms);
  }
  // A column that only one side has is filled up with "unknown".
  if (!batch.start_timestamps.empty()) {
    out->start_timestamps.resize(had, kNoStartTimestamp);
    copy(batch.start_timestamps, &out->start_timestamps);
  } else if (!out->start_timestamps.empty()) {
    out->start_timestamps.resize(out->size(), kNoStartTimestamp);
  }
}

std::unique_ptr<SeriesSource> MakeMergeSource(
    std::vector<std::shared_ptr<const SeriesSource>> sources) {
  return std::make_unique<MergeSource>(std::move(sources));
}

std::unique_ptr<SeriesSet> MakeMergeSet(
    std::vector<std::unique_ptr<SeriesSet>> sets) {
  if (sets.size() == 1) return std::move(sets[0]);
  return std::make_unique<MergeSet>(std::move(sets));
}

std::unique_ptr<SeriesCursor> MakeMergeCursor(
    std::vector<std::unique_ptr<SeriesCursor>> cursors) {
  if (cursors.size() == 1) return std::move(cursors[0]);
  return std::make_unique<MergeCursor>(std::move(cursors));
}

}  // namespace varve
