#include "storage/block_source.h"

#include <utility>

#include "storage/status_macros.h"

namespace varve {
namespace {

/// What of a block could not be read, for the user.
void Warn(QueryContext* context, const Block& block,
          const absl::Status& status) {
  const std::string_view reason = Message(status);
  context->AddWarning(
      reason.starts_with(block.path())
          ? fmt::format("data is missing from the answer: {}", reason)
          : fmt::format("data is missing from the answer: {}: {}", block.path(),
                        reason));
}

class BlockCursor final : public SeriesCursor {
 public:
  BlockCursor(QueryContext* context, std::shared_ptr<BlockReader> reader,
              uint32_t series)
      : context_(context), reader_(std::move(reader)), series_(series) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    if (group_ == nullptr && !done_) VARVE_RETURN_IF_ERROR(Start());
    while (!done_ && at_ < chunks_.size()) {
      VARVE_RETURN_IF_ERROR(context_->Check());
      const auto read = reader_->Read(chunks_[at_++], out);
      if (!read.ok()) {
        Warn(context_, reader_->block(), read.status());
      } else if (*read) {
        return true;
      }
    }
    out->Clear();
    return false;
  }

 private:
  absl::Status Start() {
    VARVE_RETURN_IF_ERROR(context_->Check());
    auto group = reader_->Group(series_);
    if (!group.ok()) {
      Warn(context_, reader_->block(), group.status());
      done_ = true;
      return absl::OkStatus();
    }
    group_ = *std::move(group);
    chunks_ = group_->ChunksOf(series_);
    return absl::OkStatus();
  }

  QueryContext* const context_;
  const std::shared_ptr<BlockReader> reader_;
  const uint32_t series_;
  std::shared_ptr<const Block::Group> group_;
  std::span<const Block::Chunk> chunks_;  // in group_
  size_t at_ = 0;
  bool done_ = false;
};

class BlockSeriesSet final : public SeriesSet {
 public:
  /// The ids are charged to the context already.
  BlockSeriesSet(QueryContext* context, std::shared_ptr<BlockReader> reader,
                 std::shared_ptr<const IndexReader> index, Ids ids)
      : context_(context),
        reader_(std::move(reader)),
        names_(std::move(index)),
        ids_(std::move(ids)) {}
  ~BlockSeriesSet() override { context_->ReleaseBytes(Bytes(ids_)); }

  static int64_t Bytes(const Ids& ids) {
    return static_cast<int64_t>(ids.size() * sizeof(ids[0]));
  }

  absl::StatusOr<bool> Next() override {
    while (at_ < ids_.size()) {
      if (at_ % kCheckEvery == 0) VARVE_RETURN_IF_ERROR(context_->Check());
      auto labels = names_.Read(ids_[at_++]);
      if (labels.ok()) {
        labels_ = *std::move(labels);
        return true;
      }
      Warn(context_, reader_->block(), labels.status());
    }
    return false;
  }
  const Labels& labels() const override { return labels_; }
  std::unique_ptr<SeriesCursor> Cursor() override {
    return std::make_unique<BlockCursor>(context_, reader_, ids_[at_ - 1]);
  }

 private:
  static constexpr size_t kCheckEvery = 256;

  QueryContext* const context_;
  const std::shared_ptr<BlockReader> reader_;
  SeriesLabels names_;
  const Ids ids_;
  size_t at_ = 0;  // of the next id
  Labels labels_;
};

class BlockSource final : public SeriesSource {
 public:
  BlockSource(std::shared_ptr<const Block> block,
              std::shared_ptr<const IndexReader> index)
      : block_(std::move(block)), index_(std::move(index)) {}

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    VARVE_RETURN_IF_ERROR(context.Check());
    Ids ids;
    if (MayHave(hints)) {
      auto found = index_->Select(context, matchers);
      VARVE_RETURN_IF_ERROR(WarnOrFail(context, found.status()));
      if (found.ok()) ids = *std::move(found);
    }
    VARVE_RETURN_IF_ERROR(context.ChargeBytes(BlockSeriesSet::Bytes(ids)));
    auto reader =
        std::make_shared<BlockReader>(block_, hints.start_ms, hints.end_ms);
    return std::make_unique<BlockSeriesSet>(&context, std::move(reader), index_,
                                            std::move(ids));
  }

  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    if (!MayHave(hints)) return std::vector<std::string>();
    return OrWarn(context, index_->LabelNames(context, matchers, hints.limit));
  }

  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    if (!MayHave(hints)) return std::vector<std::string>();
    return OrWarn(context,
                  index_->LabelValues(context, name, matchers, hints.limit));
  }

 private:
  bool MayHave(const SelectHints& hints) const {
    return block_->info().min_ms <= hints.end_ms &&
           block_->info().max_ms >= hints.start_ms;
  }

  absl::Status WarnOrFail(QueryContext& context,
                          const absl::Status& status) const {
    if (status.ok() || EndsQuery(status)) return status;
    Warn(&context, *block_, status);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> OrWarn(
      QueryContext& context,
      absl::StatusOr<std::vector<std::string>> strings) const {
    if (strings.ok() || EndsQuery(strings.status())) return strings;
    Warn(&context, *block_, strings.status());
    return std::vector<std::string>();
  }

  const std::shared_ptr<const Block> block_;
  const std::shared_ptr<const IndexReader> index_;
};

}  // namespace

bool EndsQuery(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

std::shared_ptr<const SeriesSource> MakeBlockSource(
    std::shared_ptr<const Block> block,
    std::shared_ptr<const IndexReader> index) {
  return std::make_shared<BlockSource>(std::move(block), std::move(index));
}

}  // namespace varve
