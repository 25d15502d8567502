#include "storage/series_merger.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "storage/merge_source.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Batches that are decoded already.
class BatchCursor final : public SeriesCursor {
 public:
  void Add(SampleColumns batch) { batches_.push_back(std::move(batch)); }
  absl::StatusOr<bool> Next(SampleColumns* out) override {
    if (at_ == batches_.size()) {
      out->Clear();
      return false;
    }
    *out = std::move(batches_[at_++]);
    return true;
  }

 private:
  std::vector<SampleColumns> batches_;
  size_t at_ = 0;
};

bool Touches(std::span<const TimeRange> ranges, int64_t first_ms,
             int64_t last_ms) {
  const auto range = std::lower_bound(
      ranges.begin(), ranges.end(), first_ms,
      [](const TimeRange& r, int64_t t) { return r.last_ms < t; });
  return range != ranges.end() && range->first_ms <= last_ms;
}

/// Moves the first `count` samples of `from` out.
SampleColumns TakeFront(SampleColumns* from, size_t count) {
  SampleColumns front;
  front.kind = from->kind;
  const auto take = [&](auto* source, auto* target) {
    if (source->empty()) return;
    const auto end = source->begin() + static_cast<ptrdiff_t>(count);
    target->assign(std::make_move_iterator(source->begin()),
                   std::make_move_iterator(end));
    source->erase(source->begin(), end);
  };
  take(&from->timestamps, &front.timestamps);
  take(&from->values, &front.values);
  take(&from->histograms, &front.histograms);
  take(&from->start_timestamps, &front.start_timestamps);
  return front;
}

}  // namespace

absl::Status SeriesMerger::Merge(std::span<Source> sources) {
  VARVE_RETURN_IF_ERROR(ReadItems(sources));
  pending_.Clear();
  for (size_t begin = 0; begin < items_.size();) {
    // The items that overlap this one, and those that overlap them.
    size_t end = begin + 1;
    int64_t last_ms = items_[begin].last_ms();
    for (; end < items_.size() && items_[end].first_ms() <= last_ms; ++end) {
      last_ms = std::max(last_ms, items_[end].last_ms());
    }
    const Item& item = items_[begin];
    VARVE_RETURN_IF_ERROR(end == begin + 1 && !item.loses
                              ? AddAlone(&sources[item.source], item)
                              : AddMerged(sources, std::span(items_).subspan(
                                                       begin, end - begin)));
    begin = end;
  }
  items_.clear();
  return Flush(false);
}

absl::Status SeriesMerger::ReadItems(std::span<Source> sources) {
  items_.clear();
  for (size_t i = 0; i < sources.size(); ++i) {
    Source& source = sources[i];
    source.damaged = true;
    VARVE_ASSIGN_OR_RETURN(const auto group,
                           source.reader->Group(source.series));
    for (const Block::Chunk& chunk : group->ChunksOf(source.series)) {
      Item item;
      item.source = i;
      item.chunk = chunk;
      VARVE_ASSIGN_OR_RETURN(item.raw, source.reader->ReadRaw(chunk));
      item.loses = Touches(source.dropped, item.first_ms(), item.last_ms());
      items_.push_back(std::move(item));
    }
    source.damaged = false;
  }
  std::stable_sort(
      items_.begin(), items_.end(),
      [](const Item& a, const Item& b) { return a.first_ms() < b.first_ms(); });
  return absl::OkStatus();
}

absl::Status SeriesMerger::Decode(Source* source, const Item& item,
                                  SampleColumns* out) {
  const auto decoded = source->reader->Decode(item.chunk, item.raw, out);
  source->damaged = !decoded.ok();
  return decoded.status();
}

absl::Status SeriesMerger::AddAlone(Source* source, const Item& item) {
  // Samples that wait are joined with the next chunk rather than left short.
  const bool joins = pending_.size() > 0 && pending_.size() + item.size() <=
                                                kJoinedChunkSamples * 3 / 2;
  if (item.size() < kGoodChunkSamples || joins) {
    VARVE_RETURN_IF_ERROR(Decode(source, item, &batch_));
    return AddSamples(batch_);
  }
  VARVE_RETURN_IF_ERROR(Flush(false));
  if (!item.raw.differences.empty()) {
    // It may be nearer to another here.
    VARVE_RETURN_IF_ERROR(Decode(source, item, &batch_));
    ++counts_.chunks_encoded;
    counts_.samples += batch_.size();
    return builder_->AddChunk(batch_);
  }
  ++counts_.chunks_copied;
  counts_.samples += item.size();
  return builder_->AddChunk(
      EncodedChunk{item.raw.times->timestamps, item.raw.column, item.raw.body});
}

absl::Status SeriesMerger::AddMerged(std::span<Source> sources,
                                     std::span<const Item> items) {
  std::vector<std::unique_ptr<SeriesCursor>> cursors;
  for (size_t i = 0; i < sources.size(); ++i) {
    auto cursor = std::make_unique<BatchCursor>();
    bool any = false;
    for (const Item& item : items) {
      if (item.source != i) continue;
      SampleColumns batch;
      VARVE_RETURN_IF_ERROR(Decode(&sources[i], item, &batch));
      const size_t before = batch.size();
      RemoveSamples(sources[i].dropped, &batch);
      counts_.samples_dropped += before - batch.size();
      if (batch.size() == 0) continue;
      cursor->Add(std::move(batch));
      any = true;
    }
    if (any) cursors.push_back(std::move(cursor));
  }
  if (cursors.empty()) return absl::OkStatus();
  const auto merged = MakeMergeCursor(std::move(cursors));
  while (true) {
    VARVE_ASSIGN_OR_RETURN(const bool more, merged->Next(&batch_));
    if (!more) return absl::OkStatus();
    VARVE_RETURN_IF_ERROR(AddSamples(batch_));
  }
}

absl::Status SeriesMerger::AddSamples(const SampleColumns& batch) {
  if (pending_.size() > 0 && pending_.kind != batch.kind) {
    VARVE_RETURN_IF_ERROR(Flush(false));
  }
  pending_.kind = batch.kind;
  AppendColumns(batch, 0, batch.size(), &pending_);
  return Flush(true);
}

absl::Status SeriesMerger::Flush(bool may_grow) {
  // Two halves are better than a long chunk and a short one.
  while (pending_.size() > 0) {
    const size_t size = pending_.size();
    if (may_grow && size < 2 * kJoinedChunkSamples) return absl::OkStatus();
    const size_t pieces = (size + kJoinedChunkSamples * 5 / 4 - 1) /
                          (kJoinedChunkSamples * 5 / 4);
    const size_t count =
        may_grow ? kJoinedChunkSamples : (size + pieces - 1) / pieces;
    const SampleColumns chunk = TakeFront(&pending_, count);
    VARVE_RETURN_IF_ERROR(builder_->AddChunk(chunk));
    ++counts_.chunks_encoded;
    counts_.samples += chunk.size();
  }
  pending_.Clear();
  return absl::OkStatus();
}

}  // namespace varve
