#include "storage/db_source.h"

#include <algorithm>

#include "storage/merge_source.h"
#include "storage/retention_policy.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Asks the head first and takes the blocks' snapshot afterwards: a seal
/// publishes its blocks before it empties the head, so that what the head has
/// no more is in the blocks. What is in both is merged; the blocks come first,
/// since they hold what was stored first.
class DbSource final : public SeriesSource {
 public:
  DbSource(const Head* head, const BlockStore* blocks, const Clock* clock,
           const std::atomic<int64_t>* retention_ms)
      : head_(head),
        blocks_(blocks),
        clock_(clock),
        retention_ms_(retention_ms) {}

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    SelectHints clipped = Clip(hints);
    // Also asked first: what leaves the range of the head is in a block by
    // then.
    const bool in_head = head_->min_ms() <= clipped.end_ms &&
                         head_->max_ms() >= clipped.start_ms;
    if (!in_head && blocks_ != nullptr) {
      return blocks_->Snapshot()->Select(context, matchers, clipped);
    }
    if (blocks_ != nullptr) clipped.project = false;  // they are merged
    VARVE_ASSIGN_OR_RETURN(auto head,
                           head_->Select(context, matchers, clipped));
    if (blocks_ == nullptr) return head;
    std::vector<std::unique_ptr<SeriesSet>> sets;
    VARVE_ASSIGN_OR_RETURN(
        auto blocks, blocks_->Snapshot()->Select(context, matchers, clipped));
    sets.push_back(std::move(blocks));
    sets.push_back(std::move(head));
    return MakeMergeSet(std::move(sets));
  }

  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    const SelectHints clipped = Clip(hints);
    return Merge(hints.limit, [&](const SeriesSource& source) {
      return source.LabelNames(context, matchers, clipped);
    });
  }

  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    const SelectHints clipped = Clip(hints);
    return Merge(hints.limit, [&](const SeriesSource& source) {
      return source.LabelValues(context, name, matchers, clipped);
    });
  }

 private:
  SelectHints Clip(const SelectHints& hints) const {
    SelectHints out = hints;
    const RetentionPolicy policy = {
        .time_ms = retention_ms_->load(std::memory_order_relaxed)};
    out.start_ms = std::max(hints.start_ms, policy.StartMs(clock_->NowMs()));
    return out;
  }

  template <typename Ask>
  absl::StatusOr<std::vector<std::string>> Merge(int64_t limit,
                                                 const Ask& ask) const {
    VARVE_ASSIGN_OR_RETURN(std::vector<std::string> out, ask(*head_));
    if (blocks_ == nullptr) return out;
    VARVE_ASSIGN_OR_RETURN(std::vector<std::string> more,
                           ask(*blocks_->Snapshot()));
    out.insert(out.end(), more.begin(), more.end());
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    if (limit > 0 && out.size() > static_cast<size_t>(limit) + 1) {
      out.resize(static_cast<size_t>(limit) + 1);
    }
    return out;
  }

  const Head* const head_;
  const BlockStore* const blocks_;
  const Clock* const clock_;
  const std::atomic<int64_t>* const retention_ms_;
};

}  // namespace

std::unique_ptr<SeriesSource> MakeDbSource(
    const Head* head, const BlockStore* blocks, const Clock* clock,
    const std::atomic<int64_t>* retention_ms) {
  return std::make_unique<DbSource>(head, blocks, clock, retention_ms);
}

}  // namespace varve
