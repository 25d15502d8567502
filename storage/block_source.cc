#include "storage/block_source.h"

#include <algorithm>
#include <set>
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
      // Callers check once per series.
      if (at_ % kCheckEvery == kCheckEvery - 1) {
        VARVE_RETURN_IF_ERROR(context_->Check());
      }
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
  static constexpr size_t kCheckEvery = 16;

  absl::Status Start() {
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

/// What another cursor gives, without some ranges of time.
class MaskedCursor final : public SeriesCursor {
 public:
  MaskedCursor(std::unique_ptr<SeriesCursor> base,
               std::vector<TimeRange> ranges)
      : base_(std::move(base)), ranges_(std::move(ranges)) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, base_->Next(out));
      if (!more) return false;
      RemoveSamples(ranges_, out);
      if (out->size() > 0) return true;
    }
  }

 private:
  const std::unique_ptr<SeriesCursor> base_;
  const std::vector<TimeRange> ranges_;
};

class BlockSeriesSet final : public SeriesSet {
 public:
  /// The ids are charged to the context already.
  BlockSeriesSet(QueryContext* context, std::shared_ptr<BlockReader> reader,
                 SeriesLabels names, Ids ids,
                 std::shared_ptr<const BlockMask> mask)
      : context_(context),
        reader_(std::move(reader)),
        names_(std::move(names)),
        ids_(std::move(ids)),
        mask_(std::move(mask)) {}
  ~BlockSeriesSet() override { context_->ReleaseBytes(Bytes(ids_)); }

  static int64_t Bytes(const Ids& ids) {
    return static_cast<int64_t>(ids.size() * sizeof(ids[0]));
  }

  absl::StatusOr<bool> Next() override {
    while (at_ < ids_.size()) {
      if (at_ % kCheckEvery == 0) VARVE_RETURN_IF_ERROR(context_->Check());
      const uint32_t id = ids_[at_++];
      VARVE_ASSIGN_OR_RETURN(const bool any, HasAny(id));
      if (!any) continue;
      auto labels = names_.Read(id);
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
    return MakeCursor(ids_[at_ - 1]);
  }

 private:
  static constexpr size_t kCheckEvery = 256;

  std::unique_ptr<SeriesCursor> MakeCursor(uint32_t id) {
    auto cursor = std::make_unique<BlockCursor>(context_, reader_, id);
    if (ranges_.empty()) return cursor;
    return std::make_unique<MaskedCursor>(std::move(cursor), ranges_);
  }

  /// Sets ranges_; false when they leave nothing of the series.
  absl::StatusOr<bool> HasAny(uint32_t id) {
    if (mask_ == nullptr) return true;
    ranges_ = mask_->RangesOf(id);
    std::erase_if(ranges_, [&](const TimeRange& range) {
      return !range.Meets(reader_->range());
    });
    if (ranges_.empty()) return true;
    return MakeCursor(id)->Next(&probe_);
  }

  QueryContext* const context_;
  const std::shared_ptr<BlockReader> reader_;
  SeriesLabels names_;
  const Ids ids_;
  const std::shared_ptr<const BlockMask> mask_;  // null: nothing is deleted
  std::vector<TimeRange> ranges_;                // deleted of this series
  SampleColumns probe_;
  size_t at_ = 0;  // of the next id
  Labels labels_;
};

class BlockSource final : public SeriesSource {
 public:
  BlockSource(std::shared_ptr<const Block> block,
              std::shared_ptr<const IndexReader> index,
              std::shared_ptr<const BlockDeletions> deletions)
      : block_(std::move(block)),
        index_(std::move(index)),
        deletions_(std::move(deletions)) {}

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    VARVE_RETURN_IF_ERROR(context.Check());
    Ids ids;
    std::shared_ptr<const BlockMask> mask;
    const auto find = [&]() -> absl::Status {
      VARVE_ASSIGN_OR_RETURN(mask, Mask(context));
      VARVE_ASSIGN_OR_RETURN(ids, index_->Select(context, matchers));
      if (mask == nullptr) return absl::OkStatus();
      Subtract(&ids, mask->Gone(ids, {hints.start_ms, hints.end_ms}));
      return absl::OkStatus();
    };
    if (MayHave(hints)) {
      const absl::Status found = find();
      VARVE_RETURN_IF_ERROR(WarnOrFail(context, found));
      if (!found.ok()) ids.clear();
    }
    VARVE_RETURN_IF_ERROR(context.ChargeBytes(BlockSeriesSet::Bytes(ids)));
    auto reader = std::make_shared<BlockReader>(
        block_, hints.start_ms, hints.end_ms, NeedsOnlyPresence(hints));
    SeriesLabels names = hints.project ? SeriesLabels(index_, hints.grouping)
                                       : SeriesLabels(index_);
    return std::make_unique<BlockSeriesSet>(&context, std::move(reader),
                                            std::move(names), std::move(ids),
                                            std::move(mask));
  }

  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    return List(
        context, matchers, hints,
        [&](int64_t limit) {
          return index_->LabelNames(context, matchers, limit);
        },
        [](const Labels& labels, std::set<std::string>* names) {
          for (const LabelView& label : labels) names->emplace(label.name);
        },
        [](const std::string& name) {
          return Matcher::Create(MatchType::kNotEqual, name, "");
        });
  }

  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override {
    return List(
        context, matchers, hints,
        [&](int64_t limit) {
          return index_->LabelValues(context, name, matchers, limit);
        },
        [&](const Labels& labels, std::set<std::string>* values) {
          const std::string_view value = labels.Get(name);
          if (!value.empty()) values->emplace(value);
        },
        [&](const std::string& value) {
          return Matcher::Create(MatchType::kEqual, std::string(name), value);
        });
  }

 private:
  bool MayHave(const SelectHints& hints) const {
    return block_->info().min_ms <= hints.end_ms &&
           block_->info().max_ms >= hints.start_ms;
  }

  /// Null when nothing is deleted.
  absl::StatusOr<std::shared_ptr<const BlockMask>> Mask(
      const QueryContext& context) const {
    if (deletions_ == nullptr) return nullptr;
    VARVE_ASSIGN_OR_RETURN(auto mask, deletions_->Mask(context, *index_));
    if (mask->empty()) return nullptr;
    return mask;
  }

  /// What the index lists (`ask`), without what only deleted series have
  /// (`collect`); `matcher_of` finds the series that have an entry.
  template <typename Ask, typename Collect, typename MatcherOf>
  absl::StatusOr<std::vector<std::string>> List(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints, const Ask& ask, const Collect& collect,
      const MatcherOf& matcher_of) const {
    if (!MayHave(hints)) return std::vector<std::string>();
    const auto list = [&]() -> absl::StatusOr<std::vector<std::string>> {
      VARVE_ASSIGN_OR_RETURN(const auto mask, Mask(context));
      const Ids gone = mask == nullptr ? Ids() : mask->GoneWholly();
      if (gone.empty()) return ask(hints.limit);
      VARVE_ASSIGN_OR_RETURN(std::vector<std::string> all, ask(0));
      VARVE_ASSIGN_OR_RETURN(
          const auto lost, Lost(context, matchers, gone, collect, matcher_of));
      std::erase_if(all,
                    [&](const std::string& s) { return lost.contains(s); });
      if (hints.limit > 0 && all.size() > static_cast<size_t>(hints.limit)) {
        all.resize(static_cast<size_t>(hints.limit) + 1);
      }
      return all;
    };
    return OrWarn(context, list());
  }

  template <typename Collect, typename MatcherOf>
  absl::StatusOr<std::set<std::string>> Lost(
      QueryContext& context, std::span<const Matcher> matchers, const Ids& gone,
      const Collect& collect, const MatcherOf& matcher_of) const {
    VARVE_ASSIGN_OR_RETURN(const Ids all, index_->Select(context, matchers));
    Ids ids = all;
    Intersect(&ids, gone);
    std::set<std::string> candidates;
    SeriesLabels labels(index_);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i % 256 == 0) VARVE_RETURN_IF_ERROR(context.Check());
      VARVE_ASSIGN_OR_RETURN(const Labels of_id, labels.Read(ids[i]));
      collect(of_id, &candidates);
    }
    if (ids.size() == all.size()) return candidates;
    std::vector<Matcher> narrower(matchers.begin(), matchers.end());
    for (auto it = candidates.begin(); it != candidates.end();) {
      VARVE_RETURN_IF_ERROR(context.Check());
      VARVE_ASSIGN_OR_RETURN(Matcher matcher, matcher_of(*it));
      narrower.push_back(std::move(matcher));
      VARVE_ASSIGN_OR_RETURN(Ids having, index_->Select(context, narrower));
      narrower.pop_back();
      Subtract(&having, gone);
      it = having.empty() ? std::next(it) : candidates.erase(it);
    }
    return candidates;
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
  const std::shared_ptr<const BlockDeletions> deletions_;
};

}  // namespace

bool NeedsOnlyPresence(const SelectHints& hints) {
  static constexpr std::string_view kNames[] = {
      "absent", "absent_over_time",  "count",    "count_over_time",
      "group",  "present_over_time", "timestamp"};
  return std::find(std::begin(kNames), std::end(kNames), hints.function) !=
         std::end(kNames);
}

bool EndsQuery(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

std::shared_ptr<const SeriesSource> MakeBlockSource(
    std::shared_ptr<const Block> block,
    std::shared_ptr<const IndexReader> index,
    std::shared_ptr<const BlockDeletions> deletions) {
  return std::make_shared<BlockSource>(std::move(block), std::move(index),
                                       std::move(deletions));
}

}  // namespace varve
