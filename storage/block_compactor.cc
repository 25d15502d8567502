#include "storage/block_compactor.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "storage/block_snapshot.h"
#include "storage/merge_source.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint64_t kSeriesPerCheck = 64;

/// Keeps the samples of a batch that lie in none of the ranges.
void RemoveRanges(std::span<const TimeRange> ranges, SampleColumns* batch) {
  size_t kept = 0;
  auto range = ranges.begin();
  for (size_t i = 0; i < batch->size(); ++i) {
    const int64_t t = batch->timestamps[i];
    while (range != ranges.end() && range->last_ms < t) ++range;
    if (range != ranges.end() && range->first_ms <= t) continue;
    batch->timestamps[kept] = t;
    if (!batch->values.empty()) batch->values[kept] = batch->values[i];
    if (!batch->histograms.empty()) {
      batch->histograms[kept] = batch->histograms[i];
    }
    if (!batch->start_timestamps.empty()) {
      batch->start_timestamps[kept] = batch->start_timestamps[i];
    }
    ++kept;
  }
  batch->timestamps.resize(kept);
  if (!batch->values.empty()) batch->values.resize(kept);
  if (!batch->histograms.empty()) batch->histograms.resize(kept);
  if (!batch->start_timestamps.empty()) batch->start_timestamps.resize(kept);
}

class FilteredCursor final : public SeriesCursor {
 public:
  FilteredCursor(std::unique_ptr<SeriesCursor> base,
                 std::vector<TimeRange> ranges, uint64_t* dropped)
      : base_(std::move(base)), ranges_(std::move(ranges)), dropped_(dropped) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, base_->Next(out));
      if (!more || ranges_.empty()) return more;
      const size_t before = out->size();
      RemoveRanges(ranges_, out);
      *dropped_ += before - out->size();
      if (out->size() > 0) return true;
    }
  }

 private:
  const std::unique_ptr<SeriesCursor> base_;
  const std::vector<TimeRange> ranges_;
  uint64_t* const dropped_;
};

/// The series of one input without the samples that are left out.
class InputSet final : public SeriesSet {
 public:
  InputSet(const BlockInfo& info, const CompactOptions* options,
           std::unique_ptr<SeriesSet> base, uint64_t* dropped)
      : info_(info),
        options_(options),
        base_(std::move(base)),
        dropped_(dropped) {}

  absl::StatusOr<bool> Next() override { return base_->Next(); }
  const Labels& labels() const override { return base_->labels(); }
  std::unique_ptr<SeriesCursor> Cursor() override {
    std::vector<TimeRange> ranges;
    if (options_->dropped) ranges = options_->dropped(info_, labels());
    return std::make_unique<FilteredCursor>(base_->Cursor(), std::move(ranges),
                                            dropped_);
  }

 private:
  const BlockInfo info_;
  const CompactOptions* const options_;
  const std::unique_ptr<SeriesSet> base_;
  uint64_t* const dropped_;
};

class Compaction {
 public:
  Compaction(BlockStore* store, std::span<const BlockInfo> inputs,
             const CompactOptions& options, CompactReport* report)
      : store_(store), inputs_(inputs), options_(options), report_(report) {}

  absl::Status Run() {
    VARVE_ASSIGN_OR_RETURN(auto builder, store_->NewBlockInsteadOf(inputs_));
    VARVE_RETURN_IF_ERROR(Fill(builder.get()));
    // Nothing holds the inputs any more, so that Publish can remove them.
    VARVE_RETURN_IF_ERROR(Check());
    std::vector<std::unique_ptr<BlockBuilder>> builders;
    const BlockInfo made = builder->info();
    builders.push_back(std::move(builder));
    VARVE_RETURN_IF_ERROR(store_->Publish(std::move(builders), inputs_, {}));
    for (const BlockInfo& info : store_->Blocks()) {
      if (info.day != made.day || info.part != made.part) continue;
      report_->bytes_after = info.file_bytes + info.index_bytes;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Check() const {
    if (!options_.cancelled || !options_.cancelled()) return absl::OkStatus();
    return absl::CancelledError("the compaction was cancelled");
  }

  absl::Status Fill(BlockBuilder* builder) {
    VARVE_ASSIGN_OR_RETURN(auto pins, store_->Pin(inputs_));
    std::stable_sort(pins.begin(), pins.end(),
                     [](const auto& a, const auto& b) {
                       return a->info.order < b->info.order;
                     });
    std::vector<QueryContext> contexts(pins.size());
    VARVE_ASSIGN_OR_RETURN(auto set, Open(pins, contexts));
    while (true) {
      if (report_->series % kSeriesPerCheck == 0) {
        VARVE_RETURN_IF_ERROR(Check());
        VARVE_RETURN_IF_ERROR(CheckDamage(pins, contexts));
      }
      VARVE_ASSIGN_OR_RETURN(const bool more, set->Next());
      if (!more) break;
      VARVE_RETURN_IF_ERROR(AddSeries(set.get(), builder));
    }
    return CheckDamage(pins, contexts);
  }

  using Pins = std::vector<std::shared_ptr<const SnapshotBlock>>;

  absl::StatusOr<std::unique_ptr<SeriesSet>> Open(
      const Pins& pins, std::span<QueryContext> contexts) {
    SelectHints hints;
    hints.start_ms = std::numeric_limits<int64_t>::min();
    hints.end_ms = std::numeric_limits<int64_t>::max();
    std::vector<std::unique_ptr<SeriesSet>> sets;
    for (size_t i = 0; i < pins.size(); ++i) {
      const SnapshotBlock& block = *pins[i];
      report_->bytes_before += block.info.file_bytes + block.info.index_bytes;
      if (block.source == nullptr) {
        report_->damaged.push_back(block.info);
        report_->damage = block.damage;
        return block.damage;
      }
      VARVE_ASSIGN_OR_RETURN(auto set,
                             block.source->Select(contexts[i], {}, hints));
      sets.push_back(std::make_unique<InputSet>(
          block.info, &options_, std::move(set), &report_->samples_dropped));
    }
    return MakeMergeSet(std::move(sets));
  }

  absl::Status CheckDamage(const Pins& pins,
                           std::span<const QueryContext> contexts) {
    for (size_t i = 0; i < pins.size(); ++i) {
      const auto warnings = contexts[i].warnings();
      if (warnings.empty()) continue;
      report_->damaged.push_back(pins[i]->info);
      report_->damage = DataLoss("{}", warnings[0]);
    }
    return report_->damage;
  }

  absl::Status AddSeries(SeriesSet* set, BlockBuilder* builder) {
    const std::unique_ptr<SeriesCursor> cursor = set->Cursor();
    std::vector<SampleColumns> chunks;
    SampleColumns batch;
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, cursor->Next(&batch));
      if (!more) break;
      report_->samples += batch.size();
      chunks.push_back(std::move(batch));
      batch = SampleColumns();
    }
    if (chunks.empty()) return absl::OkStatus();
    ++report_->series;
    return builder->AddSeries(set->labels(), chunks);
  }

  BlockStore* const store_;
  const std::span<const BlockInfo> inputs_;
  const CompactOptions& options_;
  CompactReport* const report_;
};

}  // namespace

absl::Status CompactBlocks(BlockStore* store, std::span<const BlockInfo> inputs,
                           const CompactOptions& options,
                           CompactReport* report) {
  *report = CompactReport();
  return Compaction(store, inputs, options, report).Run();
}

}  // namespace varve
