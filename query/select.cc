#include "query/select.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// Bytes held per selected series beside its labels: cursor, vectors.
constexpr int64_t kSeriesBytes = 200;
constexpr size_t kCheckEvery = 256;
/// Series of a batch: enough to make what is done per batch unnoticeable, few
/// enough for their labels and cursors to stay in the cache.
constexpr size_t kBatchSeries = 256;

}  // namespace

bool Selection::HasOneName() const {
  return std::any_of(selector_.matchers.begin(), selector_.matchers.end(),
                     [](const Matcher& m) {
                       return m.name() == kMetricName &&
                              m.type() == MatchType::kEqual &&
                              !m.value().empty();
                     });
}

bool Selection::SetBatches(const Batching& batching) {
  if (batching.names_drop && !HasOneName()) return false;
  batched_ = true;
  batching_ = batching;
  if (batching.labels != nullptr) {
    labels_ = *batching.labels;
    for (const char* name : {"__name__", "__type__", "__unit__"}) {
      labels_.emplace_back(name);
    }
  }
  return true;
}

SelectHints Selection::Hints() const {
  SelectHints hints;
  // Windows are left-open.
  hints.start_ms =
      node_.anchor.Resolve(grid_.start_ms) - window_ms_ - node_.before_ms + 1;
  hints.end_ms = node_.anchor.Resolve(grid_.end_ms()) + node_.after_ms;
  hints.step_ms = grid_.count > 1 ? grid_.step_ms : 0;
  hints.range_ms = node_.kind == PlanKind::kRange ? node_.range_ms : 0;
  hints.function = node_.hint_function;
  if (!labels_.empty()) {
    hints.grouping = labels_;
    hints.by = true;
    hints.project = true;
  } else if (node_.hint_grouping != nullptr) {
    hints.grouping = node_.hint_grouping->grouping;
    hints.by = !node_.hint_grouping->without;
  }
  return hints;
}

absl::StatusOr<std::vector<SeriesInfo>*> Selection::Read() {
  infos_.clear();
  cursors_.clear();
  next_ = 0;
  context_.query.ReleaseBytes(std::exchange(charged_, 0));
  if (grid_.count == 0) return &infos_;
  if (!std::exchange(started_, true)) {
    VARVE_ASSIGN_OR_RETURN(
        set_,
        context_.source.Select(context_.query, selector_.matchers, Hints()));
  }
  while (set_ != nullptr && !(batched_ && infos_.size() == kBatchSeries)) {
    if (infos_.size() % kCheckEvery == 0) {
      VARVE_RETURN_IF_ERROR(context_.query.Check());
    }
    VARVE_ASSIGN_OR_RETURN(const bool more, set_->Next());
    if (!more) {
      set_.reset();
      break;
    }
    VARVE_RETURN_IF_ERROR(Add(*set_));
  }
  return &infos_;
}

absl::Status Selection::Add(SeriesSet& set) {
  const Labels& labels = set.labels();
  if (batched_ && batching_.names_drop) {
    for (const LabelView& label : labels) {
      if (label.name > "__unit__") break;
      if (label.name != kMetricName && IsMetadataLabel(label.name)) {
        return NotInBatches();
      }
    }
  }
  const int64_t bytes =
      kSeriesBytes + static_cast<int64_t>(labels.packed().size());
  VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(bytes));
  charged_ += bytes;
  infos_.emplace_back().labels = labels;
  cursors_.push_back(set.Cursor());
  return absl::OkStatus();
}

std::unique_ptr<SeriesCursor> Selection::NextCursor(uint32_t* series) {
  if (next_ == cursors_.size()) return nullptr;
  *series = static_cast<uint32_t>(next_);
  return std::move(cursors_[next_++]);
}

}  // namespace varve::promql
