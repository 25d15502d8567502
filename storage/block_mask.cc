#include "storage/block_mask.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve {

TimeRange BlockMask::Clip(TimeRange range) const {
  return {std::max(range.first_ms, whole_.first_ms),
          std::min(range.last_ms, whole_.last_ms)};
}

void BlockMask::Add(std::span<const uint32_t> ids, TimeRange range) {
  range = Clip(range);
  if (ids.empty() || range.first_ms > range.last_ms) return;
  const auto group =
      std::find_if(groups_.begin(), groups_.end(),
                   [&](const Group& g) { return g.range == range; });
  std::vector<Run> runs;
  const auto add = [&runs](Run run) {
    if (!runs.empty() && run.first <= runs.back().second + 1) {
      runs.back().second = std::max(runs.back().second, run.second);
    } else {
      runs.push_back(run);
    }
  };
  if (group == groups_.end()) {
    for (uint32_t id : ids) add({id, id});
    groups_.push_back({range, std::move(runs)});
    return;
  }
  auto old = group->runs.begin();
  for (uint32_t id : ids) {
    for (; old != group->runs.end() && old->first <= id; ++old) add(*old);
    add({id, id});
  }
  for (; old != group->runs.end(); ++old) add(*old);
  group->runs = std::move(runs);
}

std::vector<TimeRange> BlockMask::RangesOf(uint32_t id) const {
  std::vector<TimeRange> out;
  for (const Group& group : groups_) {
    auto run = std::upper_bound(
        group.runs.begin(), group.runs.end(), id,
        [](uint32_t wanted, const Run& r) { return wanted < r.first; });
    if (run != group.runs.begin() && (--run)->second >= id) {
      AddRange(group.range, &out);
    }
  }
  return out;
}

namespace {

bool AnyHolds(const std::vector<TimeRange>& ranges, TimeRange range) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const TimeRange& r) { return r.Holds(range); });
}

}  // namespace

Ids BlockMask::Gone(std::span<const uint32_t> ids, TimeRange range) const {
  Ids out;
  range = Clip(range);
  for (uint32_t id : ids) {
    if (AnyHolds(RangesOf(id), range)) out.push_back(id);
  }
  return out;
}

bool BlockMask::HasMore(std::span<const uint32_t> ids, TimeRange range) const {
  range = Clip(range);
  if (range.first_ms > range.last_ms) return false;
  return std::any_of(ids.begin(), ids.end(), [&](uint32_t id) {
    return !AnyHolds(RangesOf(id), range);
  });
}

Ids BlockMask::GoneWholly() const {
  Ids touched;
  for (const Group& group : groups_) {
    for (const Run& run : group.runs) {
      for (uint32_t id = run.first; id < run.second; ++id) {
        touched.push_back(id);
      }
      touched.push_back(run.second);
    }
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  return Gone(touched, whole_);
}

int64_t BlockMask::bytes() const {
  size_t bytes = sizeof(*this);
  for (const Group& group : groups_) {
    bytes += sizeof(group) + group.runs.capacity() * sizeof(Run);
  }
  return static_cast<int64_t>(bytes);
}

std::shared_ptr<const BlockDeletions> BlockDeletions::With(
    DeletionPtr deletion) const {
  std::vector<DeletionPtr> deletions = deletions_;
  deletions.push_back(std::move(deletion));
  auto out = std::make_shared<BlockDeletions>(whole_, std::move(deletions));
  MutexLock lock(&mutex_);
  MutexLock out_lock(&out->mutex_);
  out->mask_ = mask_;
  out->resolved_ = resolved_;
  return out;
}

absl::StatusOr<std::shared_ptr<const BlockMask>> BlockDeletions::Mask(
    const QueryContext& context, const IndexReader& index) const {
  MutexLock lock(&mutex_);
  if (mask_ != nullptr && resolved_ == deletions_.size()) return mask_;
  auto mask = mask_ == nullptr ? std::make_shared<BlockMask>(whole_)
                               : std::make_shared<BlockMask>(*mask_);
  for (size_t i = resolved_; i < deletions_.size(); ++i) {
    VARVE_ASSIGN_OR_RETURN(const Ids ids,
                           SelectAny(context, index, deletions_[i]->selectors));
    mask->Add(ids, deletions_[i]->range);
  }
  mask_ = std::move(mask);
  resolved_ = deletions_.size();
  return mask_;
}

absl::StatusOr<Ids> SelectAny(const QueryContext& context,
                              const IndexReader& index,
                              const Selectors& selectors) {
  Ids out;
  for (const auto& matchers : selectors) {
    if (matchers.empty()) continue;
    VARVE_ASSIGN_OR_RETURN(const Ids ids, index.Select(context, matchers));
    out.insert(out.end(), ids.begin(), ids.end());
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace varve
