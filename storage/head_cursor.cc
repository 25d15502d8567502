#include "storage/head_cursor.h"

#include <algorithm>

#include "storage/merge_source.h"

namespace varve {
namespace {

/// Cuts columns of floats to [start_ms, end_ms].
void Clip(int64_t start_ms, int64_t end_ms, SampleColumns* out) {
  auto& ts = out->timestamps;
  const auto to = std::upper_bound(ts.begin(), ts.end(), end_ms) - ts.begin();
  ts.resize(static_cast<size_t>(to));
  out->values.resize(static_cast<size_t>(to));
  const auto from =
      std::lower_bound(ts.begin(), ts.end(), start_ms) - ts.begin();
  ts.erase(ts.begin(), ts.begin() + from);
  out->values.erase(out->values.begin(), out->values.begin() + from);
}

/// Start timestamps for the samples that have one.
void FillStarts(const SideTable::Slice* side, SampleColumns* out) {
  if (side == nullptr || side->starts.empty()) return;
  auto at = std::lower_bound(
      side->starts.begin(), side->starts.end(), out->timestamps.front(),
      [](const auto& entry, int64_t t) { return entry.first < t; });
  if (at == side->starts.end()) return;
  out->start_timestamps.assign(out->size(), kNoStartTimestamp);
  for (size_t i = 0; i < out->size(); ++i) {
    while (at != side->starts.end() && at->first < out->timestamps[i]) ++at;
    if (at == side->starts.end()) return;
    if (at->first == out->timestamps[i]) out->start_timestamps[i] = at->second;
  }
}

/// The closed chunks, then the open one.
class InOrderCursor final : public SeriesCursor {
 public:
  explicit InOrderCursor(HeadSeries series) : series_(std::move(series)) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    if (!started_) Start();
    while (next_ < chunks_.size()) {
      const WindowChunks::Chunk& chunk = chunks_[next_++];
      Decode(chunk.words, chunk.word_count, chunk.first_t, chunk.count, out);
      if (out->size() > 0) return true;
    }
    if (series_.tail.count > 0) {
      uint64_t words[kGorillaWordsMax];
      const size_t n = GorillaFinish(series_.tail, *series_.blocks, words);
      Decode(words, n, series_.tail.first_t, series_.tail.count, out);
      series_.tail.count = 0;
      if (out->size() > 0) return true;
    }
    out->Clear();
    return false;
  }

 private:
  void Start() {
    started_ = true;
    for (const auto& [chunks, newest] : series_.chunks) {
      const size_t begin = chunks_.size();
      for (auto at = newest; at != WindowChunks::kNull;) {
        const WindowChunks::Chunk chunk = chunks->at(at);
        if (chunk.first_t <= series_.end_ms &&
            chunk.last_t >= series_.start_ms) {
          chunks_.push_back(chunk);
        }
        at = chunk.previous;
      }
      std::reverse(chunks_.begin() + static_cast<ptrdiff_t>(begin),
                   chunks_.end());
    }
  }

  void Decode(const uint64_t* words, size_t word_count, int64_t first_t,
              size_t count, SampleColumns* out) {
    out->Clear();
    out->timestamps.resize(count);
    out->values.resize(count);
    GorillaDecode(words, word_count, first_t, count, out->timestamps.data(),
                  out->values.data());
    Clip(series_.start_ms, series_.end_ms, out);
    if (out->size() > 0) FillStarts(series_.side, out);
  }

  HeadSeries series_;
  std::vector<WindowChunks::Chunk> chunks_;
  size_t next_ = 0;
  bool started_ = false;
};

constexpr size_t kBatchSamples = 120;

/// Floats out of order.
class SideFloatCursor final : public SeriesCursor {
 public:
  SideFloatCursor(std::shared_ptr<const void> owner,
                  const SideTable::Slice* side)
      : owner_(std::move(owner)), side_(side) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    out->Clear();
    const auto& floats = side_->floats;
    for (; at_ < floats.size() && out->size() < kBatchSamples; ++at_) {
      out->timestamps.push_back(floats[at_].first);
      out->values.push_back(floats[at_].second);
    }
    if (out->size() == 0) return false;
    FillStarts(side_, out);
    return true;
  }

 private:
  const std::shared_ptr<const void> owner_;
  const SideTable::Slice* const side_;
  size_t at_ = 0;
};

class SideHistogramCursor final : public SeriesCursor {
 public:
  SideHistogramCursor(std::shared_ptr<const void> owner,
                      const SideTable::Slice* side)
      : owner_(std::move(owner)), side_(side) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    out->Clear();
    out->kind = SampleColumns::Kind::kHistogram;
    bool any_start = false;
    const auto& histograms = side_->histograms;
    for (; at_ < histograms.size() && out->size() < kBatchSamples; ++at_) {
      const auto& [t, point] = histograms[at_];
      out->timestamps.push_back(t);
      out->histograms.push_back(point.histogram);
      out->start_timestamps.push_back(point.start_timestamp_ms);
      any_start |= point.start_timestamp_ms != kNoStartTimestamp;
    }
    if (!any_start) out->start_timestamps.clear();
    return out->size() > 0;
  }

 private:
  const std::shared_ptr<const void> owner_;
  const SideTable::Slice* const side_;
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<SeriesCursor> MakeHeadCursor(HeadSeries series) {
  const SideTable::Slice* side = series.side;
  if (side == nullptr || side->empty()) {
    return std::make_unique<InOrderCursor>(std::move(series));
  }
  const std::shared_ptr<const void> owner = series.owner;
  std::vector<std::unique_ptr<SeriesCursor>> cursors;
  cursors.push_back(std::make_unique<InOrderCursor>(std::move(series)));
  if (!side->floats.empty()) {
    cursors.push_back(std::make_unique<SideFloatCursor>(owner, side));
  }
  if (!side->histograms.empty()) {
    cursors.push_back(std::make_unique<SideHistogramCursor>(owner, side));
  }
  return MakeMergeCursor(std::move(cursors));
}

std::string_view MetricOf(const LabelIndex& index,
                          std::span<const PairId> pairs) {
  for (PairId id : pairs) {
    const LabelView label = index.pair(id);
    if (label.name == kMetricName) return label.value;
  }
  return {};
}

}  // namespace varve
