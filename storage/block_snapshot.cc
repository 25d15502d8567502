#include "storage/block_snapshot.h"

#include <utility>

#include "storage/merge_source.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

class PinnedSeriesSet final : public SeriesSet {
 public:
  using Pins = std::vector<std::shared_ptr<const SnapshotBlock>>;
  PinnedSeriesSet(std::unique_ptr<SeriesSet> base, Pins pins)
      : pins_(std::make_shared<const Pins>(std::move(pins))),
        base_(std::move(base)) {}

  absl::StatusOr<bool> Next() override { return base_->Next(); }
  const Labels& labels() const override { return base_->labels(); }
  std::unique_ptr<SeriesCursor> Cursor() override {
    return std::make_unique<PinnedCursor>(pins_, base_->Cursor());
  }

 private:
  class PinnedCursor final : public SeriesCursor {
   public:
    PinnedCursor(std::shared_ptr<const Pins> pins,
                 std::unique_ptr<SeriesCursor> base)
        : pins_(std::move(pins)), base_(std::move(base)) {}
    absl::StatusOr<bool> Next(SampleColumns* out) override {
      return base_->Next(out);
    }

   private:
    const std::shared_ptr<const Pins> pins_;
    const std::unique_ptr<SeriesCursor> base_;
  };

  /// As long as one of these lives the store does not remove the block.
  const std::shared_ptr<const Pins> pins_;
  const std::unique_ptr<SeriesSet> base_;
};

class SnapshotSource final : public SeriesSource {
 public:
  using Blocks = std::vector<std::shared_ptr<const SnapshotBlock>>;
  explicit SnapshotSource(std::vector<SnapshotPart> parts)
      : parts_(std::move(parts)) {}

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    Blocks used;
    VARVE_ASSIGN_OR_RETURN(
        auto set,
        InRange(context, hints, &used)->Select(context, matchers, hints));
    return std::make_unique<PinnedSeriesSet>(std::move(set), std::move(used));
  }
  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    Blocks used;
    return InRange(context, hints, &used)->LabelNames(context, matchers, hints);
  }
  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    Blocks used;
    return InRange(context, hints, &used)
        ->LabelValues(context, name, matchers, hints);
  }

 private:
  std::shared_ptr<const SeriesSource> InRange(QueryContext& context,
                                              const SelectHints& hints,
                                              Blocks* used) const {
    std::vector<std::shared_ptr<const SeriesSource>> sources;
    for (const auto& [block, deletions] : parts_) {
      if (block->info.min_ms > hints.end_ms ||
          block->info.max_ms < hints.start_ms) {
        continue;
      }
      if (block->source == nullptr) {
        context.AddWarning(
            fmt::format("data is missing from the answer: block {} is set "
                        "aside: {}",
                        block->path, Message(block->damage)));
        continue;
      }
      used->push_back(block);
      sources.push_back(
          deletions == nullptr
              ? block->source
              : MakeBlockSource(block->block, block->index, deletions));
    }
    if (sources.size() == 1) return sources[0];
    return MakeMergeSource(std::move(sources));
  }

  const std::vector<SnapshotPart> parts_;
};

}  // namespace

std::shared_ptr<const SeriesSource> MakeSnapshotSource(
    std::vector<SnapshotPart> parts) {
  return std::make_shared<SnapshotSource>(std::move(parts));
}

}  // namespace varve
