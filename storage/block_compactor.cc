#include "storage/block_compactor.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "storage/block.h"
#include "storage/block_builder.h"
#include "storage/block_snapshot.h"
#include "storage/index_reader.h"
#include "storage/series_merger.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Some milliseconds of work.
constexpr uint64_t kSamplesPerCheck = uint64_t{1} << 18;
constexpr uint64_t kSeriesPerCheck = 1024;

using Dropped = std::function<std::vector<TimeRange>(const BlockInfo& input,
                                                     const Labels& labels)>;

/// What `dropped` (may be null) leaves out, and what is deleted by deletions up
/// to the number that the new block will say it was made without.
Dropped WithDeletions(const BlockStore& store,
                      std::span<const BlockInfo> inputs,
                      uint64_t deletions_done, Dropped dropped) {
  std::map<uint16_t, std::vector<DeletionPtr>> deletions;  // by part
  for (const BlockInfo& input : inputs) {
    auto of_input = store.DeletionsOf(input);
    std::erase_if(of_input, [&](const DeletionPtr& deletion) {
      return deletion->number > deletions_done;
    });
    if (!of_input.empty()) deletions[input.part] = std::move(of_input);
  }
  if (deletions.empty()) return dropped;
  return [deletions = std::move(deletions), dropped = std::move(dropped)](
             const BlockInfo& input, const Labels& labels) {
    std::vector<TimeRange> ranges;
    if (dropped) ranges = dropped(input, labels);
    const auto of_input = deletions.find(input.part);
    if (of_input == deletions.end()) return ranges;
    for (const DeletionPtr& deletion : of_input->second) {
      if (Selects(deletion->selectors, labels)) {
        AddRange(deletion->range, &ranges);
      }
    }
    return ranges;
  };
}

/// One block that is read from its first series to its last.
class Input {
 public:
  /// Opens the file once more: pages that a query checked long ago are checked
  /// again, so that no damage gets into a new file under a right CRC.
  static absl::StatusOr<std::unique_ptr<Input>> Open(
      std::shared_ptr<const SnapshotBlock> pin) {
    VARVE_RETURN_IF_ERROR(pin->damage);
    VARVE_ASSIGN_OR_RETURN(auto block, Block::Open(pin->fs, pin->path));
    return std::unique_ptr<Input>(new Input(std::move(pin), std::move(block)));
  }

  const BlockInfo& info() const { return pin_->info; }
  const Labels& labels() const { return labels_; }
  BlockReader* reader() { return &reader_; }
  uint32_t series() const { return next_ - 1; }

  /// Moves to the next series; false at the end.
  absl::StatusOr<bool> Next() {
    if (next_ == info().series) return false;
    auto labels = names_.Read(next_);
    if (!labels.ok()) {
      return DataLoss("{}: labels of series {}: {}", pin_->path, next_,
                      Message(labels.status()));
    }
    if (next_ > 0 && !SeriesLess(labels_, *labels)) {
      return DataLoss("{}: series {} does not come after the one before",
                      pin_->path, next_);
    }
    labels_ = *std::move(labels);
    ++next_;
    return true;
  }

 private:
  Input(std::shared_ptr<const SnapshotBlock> pin,
        std::shared_ptr<const Block> block)
      : pin_(std::move(pin)),
        reader_(std::move(block), std::numeric_limits<int64_t>::min(),
                std::numeric_limits<int64_t>::max()),
        names_(pin_->index) {}

  const std::shared_ptr<const SnapshotBlock> pin_;
  BlockReader reader_;
  SeriesLabels names_;
  Labels labels_;
  uint32_t next_ = 0;
};

class Compaction {
 public:
  Compaction(const CompactOptions& options, CompactReport* report,
             BlockFileBuilder* builder)
      : options_(options),
        report_(report),
        builder_(builder),
        merger_(builder) {}

  absl::Status Run(std::vector<std::shared_ptr<const SnapshotBlock>> pins) {
    VARVE_RETURN_IF_ERROR(Open(std::move(pins)));
    uint64_t checked = 0;
    for (uint64_t n = 0; !heap_.empty(); ++n) {
      const uint64_t samples = merger_.counts().samples;
      if (n % kSeriesPerCheck == 0 || samples - checked >= kSamplesPerCheck) {
        VARVE_RETURN_IF_ERROR(Check());
        checked = samples;
      }
      VARVE_RETURN_IF_ERROR(MergeOne());
    }
    return Check();
  }

  const SeriesMerger::Counts& counts() const { return merger_.counts(); }

 private:
  absl::Status Check() const {
    if (!options_.cancelled || !options_.cancelled()) return absl::OkStatus();
    return absl::CancelledError("the compaction was cancelled");
  }

  absl::Status Open(std::vector<std::shared_ptr<const SnapshotBlock>> pins) {
    std::sort(pins.begin(), pins.end(), [](const auto& a, const auto& b) {
      return a->info.order < b->info.order;
    });
    for (auto& pin : pins) {
      const BlockInfo info = pin->info;
      report_->bytes_before += info.file_bytes + info.index_bytes;
      auto input = Input::Open(std::move(pin));
      if (!input.ok()) return Damaged(info, input.status());
      inputs_.push_back(*std::move(input));
      VARVE_RETURN_IF_ERROR(Advance(inputs_.size() - 1));
    }
    return absl::OkStatus();
  }

  /// Not every error means that the bytes are bad: a read may work next time.
  absl::Status Damaged(const BlockInfo& info, const absl::Status& status) {
    if (absl::IsDataLoss(status) || absl::IsUnimplemented(status)) {
      report_->damaged.push_back(info);
      report_->damage = status;
    }
    return status;
  }

  /// Order of a max-heap: true when `a` comes after `b`.
  bool After(size_t a, size_t b) const {
    const Labels& la = inputs_[a]->labels();
    const Labels& lb = inputs_[b]->labels();
    if (SeriesLess(lb, la)) return true;
    if (SeriesLess(la, lb)) return false;
    return a > b;
  }

  absl::Status Advance(size_t i) {
    const auto more = inputs_[i]->Next();
    if (!more.ok()) return Damaged(inputs_[i]->info(), more.status());
    if (!*more) return absl::OkStatus();
    heap_.push_back(i);
    std::push_heap(heap_.begin(), heap_.end(),
                   [this](size_t a, size_t b) { return After(a, b); });
    return absl::OkStatus();
  }

  size_t Pop() {
    std::pop_heap(heap_.begin(), heap_.end(),
                  [this](size_t a, size_t b) { return After(a, b); });
    const size_t i = heap_.back();
    heap_.pop_back();
    return i;
  }

  /// Merges the series that comes first.
  absl::Status MergeOne() {
    current_.clear();
    current_.push_back(Pop());
    const Labels& labels = inputs_[current_[0]]->labels();
    while (!heap_.empty() && inputs_[heap_.front()]->labels() == labels) {
      current_.push_back(Pop());
    }
    ranges_.clear();
    sources_.clear();
    for (const size_t i : current_) {
      ranges_.push_back(options_.dropped
                            ? options_.dropped(inputs_[i]->info(), labels)
                            : std::vector<TimeRange>());
    }
    for (size_t k = 0; k < current_.size(); ++k) {
      Input& input = *inputs_[current_[k]];
      sources_.push_back({input.reader(), input.series(), ranges_[k]});
    }
    const uint64_t before = merger_.counts().samples;
    if (const absl::Status s = merger_.Merge(sources_); !s.ok()) {
      for (size_t k = 0; k < sources_.size(); ++k) {
        if (sources_[k].damaged)
          return Damaged(inputs_[current_[k]]->info(), s);
      }
      return s;
    }
    if (merger_.counts().samples > before) {
      VARVE_RETURN_IF_ERROR(builder_->EndSeries(labels));
    }
    for (const size_t i : current_) VARVE_RETURN_IF_ERROR(Advance(i));
    return absl::OkStatus();
  }

  const CompactOptions& options_;
  CompactReport* const report_;
  BlockFileBuilder* const builder_;
  SeriesMerger merger_;
  std::vector<std::unique_ptr<Input>> inputs_;
  std::vector<size_t> heap_;  // inputs by their current series
  // Of the series that is being merged; kept for their memory.
  std::vector<size_t> current_;  // inputs, ascending
  std::vector<std::vector<TimeRange>> ranges_;
  std::vector<SeriesMerger::Source> sources_;
};

absl::Status Fill(const BlockStore& store, std::span<const BlockInfo> inputs,
                  const CompactOptions& options, CompactReport* report,
                  BlockFileBuilder* builder) {
  VARVE_ASSIGN_OR_RETURN(auto pins, store.Pin(inputs));
  Compaction compaction(options, report, builder);
  const absl::Status status = compaction.Run(std::move(pins));
  const SeriesMerger::Counts& counts = compaction.counts();
  report->series = builder->series();
  report->samples = counts.samples;
  report->samples_dropped = counts.samples_dropped;
  report->chunks_copied = counts.chunks_copied;
  report->chunks_encoded = counts.chunks_encoded;
  return status;
}

}  // namespace

absl::Status CompactBlocks(BlockStore* store, std::span<const BlockInfo> inputs,
                           const CompactOptions& options,
                           CompactReport* report) {
  *report = CompactReport();
  VARVE_ASSIGN_OR_RETURN(auto builder, store->NewBlockInsteadOf(inputs));
  CompactOptions all = options;
  all.dropped = WithDeletions(*store, inputs, builder->info().deletions_done,
                              options.dropped);
  // When it returns nothing holds the inputs any more, so that Publish can
  // remove them.
  VARVE_RETURN_IF_ERROR(Fill(*store, inputs, all, report,
                             static_cast<BlockFileBuilder*>(builder.get())));
  const BlockInfo made = builder->info();
  std::vector<std::unique_ptr<BlockBuilder>> builders;
  builders.push_back(std::move(builder));
  VARVE_RETURN_IF_ERROR(store->Publish(std::move(builders), inputs, {}));
  for (const BlockInfo& info : store->Blocks()) {
    if (info.day != made.day || info.part != made.part) continue;
    report->bytes_after = info.file_bytes + info.index_bytes;
  }
  return absl::OkStatus();
}

}  // namespace varve
