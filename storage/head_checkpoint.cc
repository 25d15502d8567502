#include "storage/head_checkpoint.h"

#include <algorithm>
#include <bit>

#include "storage/checkpoint_record.h"
#include "storage/status_macros.h"
#include "storage/string_hash.h"
#include "storage/wal_record.h"

namespace varve {
namespace {

/// Series that are copied at a time, with the writers kept out.
constexpr SeriesRef kSliceSeries = 2048;
/// A record ends at about so many bytes.
constexpr size_t kRecordBytes = size_t{1} << 20;

constexpr int64_t kMinTime = std::numeric_limits<int64_t>::min();
constexpr int64_t kMaxTime = std::numeric_limits<int64_t>::max();

/// What a float sample takes in a commit payload, at most.
constexpr size_t kSampleBytes = 32;

size_t HistogramBytes(const Histogram& histogram) {
  return std::visit(
      [](const auto& h) {
        return kSampleBytes +
               10 * (h.positive_spans.size() + h.negative_spans.size() +
                     h.positive_buckets.size() + h.negative_buckets.size() +
                     h.custom_values.size());
      },
      histogram);
}

/// Collects samples into commit payloads of about kRecordBytes.
class CommitRecords {
 public:
  CommitRecords(const Wal::AddRecord& add, WalRecordType type)
      : add_(add), type_(type) {}

  WriteBatch& batch() { return batch_; }
  /// Call after each addition, with about what it will take.
  absl::Status Added(size_t bytes) {
    bytes_ += bytes;
    return bytes_ < kRecordBytes ? absl::OkStatus() : Flush();
  }
  absl::Status Flush() {
    if (bytes_ == 0) return absl::OkStatus();
    bytes_ = 0;
    EncodeCommit(batch_, &payload_);
    batch_.Clear();
    return add_(type_, payload_);
  }

 private:
  const Wal::AddRecord& add_;
  const WalRecordType type_;
  WriteBatch batch_;
  size_t bytes_ = 0;
  std::string payload_;
};

}  // namespace

/// Walks the head in slices of refs.
class HeadCheckpoint {
 public:
  HeadCheckpoint(const Head& head, const Wal::AddRecord& add)
      : head_(head),
        add_(add),
        encoder_([&head](PairId id) { return head.memory_->index.pair(id); }) {}

  absl::Status Write() {
    head_.table_.AwaitCreation();
    const SeriesRef limit = head_.table_.limit();
    for (SeriesRef begin = head_.table_.SkipUnused(0); begin < limit;
         begin = head_.table_.SkipUnused(begin + kSliceSeries)) {
      // What the copies point at stays until they are encoded.
      const Reclaimer::Pin pin = head_.reclaimer_.pin();
      Copy(begin, std::min(limit, begin + kSliceSeries));
      VARVE_RETURN_IF_ERROR(Encode());
    }
    return WriteState();
  }

 private:
  struct Line {
    SeriesRef ref;
    std::span<const PairId> pairs;
    GorillaTail tail;
    uint8_t flags;
  };

  void Copy(SeriesRef begin, SeriesRef end) {
    lines_.clear();
    newest_.clear();
    sides_.clear();
    RoomGuard room(&head_.rooms_, TwoRooms::kSecond);
    windows_ = head_.Windows();
    for (SeriesRef ref = begin; ref < end; ++ref) {
      const auto pairs = head_.table_.PairsOf(ref);
      if (pairs.empty()) continue;
      const SeriesLine& line = head_.table_.line(ref);
      lines_.push_back({ref, pairs, line.tail, line.flags});
      for (const auto& chunks : windows_) {
        newest_.push_back(chunks->newest(ref));
      }
      if ((line.flags & SeriesLine::kHasSide) != 0) {
        sides_.emplace_back(ref, head_.side_.Read(ref, kMinTime, kMaxTime));
      }
    }
  }

  absl::Status Encode() {
    for (size_t i = 0; i < lines_.size(); ++i) {
      EncodeLine(lines_[i], std::span(newest_).subspan(i * windows_.size(),
                                                       windows_.size()));
      if (encoder_.bytes() >= kRecordBytes) VARVE_RETURN_IF_ERROR(Flush());
    }
    VARVE_RETURN_IF_ERROR(Flush());
    return EncodeSides();
  }

  void EncodeLine(const Line& line,
                  std::span<const WindowChunks::Handle> newest) {
    CheckpointSeries series;
    series.ref = line.ref;
    series.labels = line.pairs;
    series.has_last = (line.flags & SeriesLine::kHasLast) != 0;
    series.tail = line.tail;
    uint64_t words[kGorillaWordsMax];
    if (line.tail.count > 0) {
      // The unfinished word and the run stay apart, so that it can go on.
      GorillaFinish(line.tail, head_.memory_->blocks_of(line.ref), words);
      series.tail_words = std::span(words, line.tail.words);
    }
    closed_.clear();
    for (size_t w = 0; w < newest.size(); ++w) {
      const size_t begin = closed_.size();
      for (auto at = newest[w]; at != WindowChunks::kNull;) {
        const WindowChunks::Chunk chunk = windows_[w]->at(at);
        closed_.push_back({chunk.first_t, chunk.last_t,
                           static_cast<uint8_t>(chunk.count),
                           std::span(chunk.words, chunk.word_count)});
        at = chunk.previous;
      }
      std::reverse(closed_.begin() + static_cast<ptrdiff_t>(begin),
                   closed_.end());
    }
    series.closed = closed_;
    encoder_.Add(series);
  }

  absl::Status Flush() {
    if (encoder_.empty()) return absl::OkStatus();
    encoder_.Finish(&payload_);
    return add_(WalRecordType::kHeadSeries, payload_);
  }

  absl::Status EncodeSides() {
    CommitRecords side(add_, WalRecordType::kHeadSide);
    CommitRecords starts(add_, WalRecordType::kHeadStarts);
    for (const auto& [ref, slice] : sides_) {
      for (const auto& [t, value] : slice.floats) {
        side.batch().Add(ref, t, value);
        VARVE_RETURN_IF_ERROR(side.Added(kSampleBytes));
      }
      for (const auto& [t, point] : slice.histograms) {
        side.batch().histograms.push_back(
            {ref, t, point.start_timestamp_ms, point.histogram});
        VARVE_RETURN_IF_ERROR(side.Added(HistogramBytes(*point.histogram)));
      }
      for (const auto& [t, start] : slice.starts) {
        starts.batch().Add(ref, t, 0);
        starts.batch().start_timestamps.push_back(start);
        VARVE_RETURN_IF_ERROR(starts.Added(kSampleBytes));
      }
    }
    VARVE_RETURN_IF_ERROR(side.Flush());
    return starts.Flush();
  }

  absl::Status WriteState() {
    CommitRecords state(add_, WalRecordType::kState);
    for (auto& [family, metadata] : head_.AllMetadata()) {
      const size_t bytes = family.size() + metadata.help.size();
      state.batch().metadata.push_back({family, std::move(metadata)});
      VARVE_RETURN_IF_ERROR(state.Added(bytes + kSampleBytes));
    }
    for (auto& [labels, exemplar] : head_.exemplars_.All()) {
      const SeriesRef ref = head_.table_.Find(labels);
      if (ref == kNoSeries) continue;
      const size_t bytes = exemplar.labels.packed().size();
      state.batch().exemplars.push_back({ref, exemplar});
      VARVE_RETURN_IF_ERROR(state.Added(bytes + kSampleBytes));
    }
    return state.Flush();
  }

  const Head& head_;
  const Wal::AddRecord& add_;
  CheckpointEncoder encoder_;
  std::string payload_;
  // The slice.
  Head::WindowList windows_;
  std::vector<Line> lines_;
  std::vector<WindowChunks::Handle> newest_;  // windows_.size() per line
  std::vector<std::pair<SeriesRef, SideTable::Slice>> sides_;
  std::vector<CheckpointChunk> closed_;
};

absl::Status WriteHeadCheckpoint(const Head& head, const Wal::AddRecord& add) {
  return HeadCheckpoint(head, add).Write();
}

// ------------------------------------------------------------------ loading

bool HeadLoader::Wanted(int64_t first_t, int64_t last_t, int64_t samples,
                        LoadReport* report) const {
  if (last_t < time_min_ms_ || first_t <= -Head::kTimeMax ||
      last_t >= Head::kTimeMax) {
    report->too_old += samples;
    return false;
  }
  if (is_sealed_(WindowOf(first_t, head_->window_ms_))) {
    report->sealed += samples;
    return false;
  }
  report->samples += samples;
  return true;
}

void HeadLoader::Claim(std::span<const CheckpointSeries> series,
                       std::vector<bool>* free) {
  MutexLock lock(&mutex_);
  for (const CheckpointSeries& s : series) {
    free->push_back(claimed_.insert(s.ref).second);
  }
}

void HeadLoader::LoadSeries(std::string_view payload, LoadReport* report) {
  CheckpointDecoder decoder;
  if (!decoder.Decode(payload).ok()) {
    ++report->malformed;
    return;
  }
  std::vector<LabelView> labels;
  for (const auto& pair : decoder.pairs()) labels.push_back(pair.label);
  std::vector<PairId> numbers(labels.size());
  LabelIndex& index = head_->memory_->index;
  index.InternPairs(labels, numbers.data());

  const auto series = decoder.series();
  std::vector<bool> wanted;
  Claim(series, &wanted);
  std::vector<SeriesRef> refs;
  std::vector<PairId> ids;
  std::vector<size_t> ends;
  std::vector<uint64_t> hashes;
  std::vector<const CheckpointSeries*> candidates;
  std::string packed;
  for (size_t i = 0; i < series.size(); ++i) {
    if (!wanted[i]) continue;
    packed.clear();
    for (const uint32_t pair : series[i].labels) {
      packed += decoder.pairs()[pair].packed;
      ids.push_back(numbers[pair]);
    }
    candidates.push_back(&series[i]);
    refs.push_back(series[i].ref);
    ends.push_back(ids.size());
    hashes.push_back(StringHash()(packed));  // as Labels::Hash
  }
  std::vector<bool> created;
  head_->table_.CreateMany(refs, ids, ends, hashes, &created);

  // Only those that were created are entered.
  Times times;
  std::vector<uint32_t> positions;
  size_t kept = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!created[i]) continue;
    const CheckpointSeries& s = *candidates[i];
    LoadChunks(s, report, &times);
    positions.insert(positions.end(), s.labels.begin(), s.labels.end());
    refs[kept] = s.ref;
    ends[kept++] = positions.size();
  }
  refs.resize(kept);
  ends.resize(kept);
  index.EnterMany(refs, numbers, positions, ends);
  if (times.min <= times.max) head_->NoteTimes(times.min, times.max);
  report->series += static_cast<int64_t>(kept);
  report->malformed += static_cast<int64_t>(series.size() - kept);
  report->refs.insert(report->refs.end(), refs.begin(), refs.end());
}

void HeadLoader::LoadChunks(const CheckpointSeries& series, LoadReport* report,
                            Times* times) {
  const SeriesRef ref = series.ref;
  SeriesLine& line = head_->table_.line(ref);
  const auto window_of = [&](int64_t t) {
    return WindowOf(t, head_->window_ms_);
  };
  for (const CheckpointChunk& chunk : series.closed) {
    if (!Wanted(chunk.first_t, chunk.last_t, chunk.count, report)) continue;
    times->min = std::min(times->min, chunk.first_t);
    times->max = std::max(times->max, chunk.last_t);
    const int64_t window = window_of(chunk.first_t);
    if (window != window_of(chunk.last_t)) {
      LoadOneByOne(ref, chunk.words, chunk.first_t, chunk.count);
      continue;
    }
    head_->CurrentWindow(static_cast<int32_t>(window))
        ->Append(ref, {chunk.first_t, chunk.last_t, chunk.words.data(),
                       chunk.count, static_cast<uint16_t>(chunk.words.size()),
                       WindowChunks::kNull});
  }
  const GorillaTail& tail = series.tail;
  if (tail.count == 0) {
    if (!series.has_last) return;
    // What the newest sample was is known also when its chunk is gone.
    if (line.tail.count > 0) return;
    line.tail.last_t = tail.last_t;
    line.tail.last_v = tail.last_v;
    line.flags |= SeriesLine::kHasLast;
    return;
  }
  // Samples that a block lacks may repeat those of a sealed chunk, in the log
  // after this checkpoint: then the newest sample is not known.
  if (!Wanted(tail.first_t, tail.last_t, tail.count, report)) return;
  times->min = std::min(times->min, tail.first_t);
  times->max = std::max(times->max, tail.last_t);
  const int64_t window = window_of(tail.first_t);
  SlabArena& blocks = head_->memory_->blocks_of(ref);
  GorillaTail open = tail;
  GorillaRestore(&open, &blocks, series.tail_words.data());
  if (window != window_of(tail.last_t) || line.tail.count > 0) {
    uint64_t words[kGorillaWordsMax];
    const size_t n = GorillaFinish(open, blocks, words);
    GorillaFree(open, &blocks);
    LoadOneByOne(ref, std::span(words, n), tail.first_t, tail.count);
    return;
  }
  line.tail = open;
  line.window = static_cast<int32_t>(window);
  line.flags |= SeriesLine::kHasLast;
}

/// The windows are of another length now than when it was written.
void HeadLoader::LoadOneByOne(SeriesRef ref, std::span<const uint64_t> words,
                              int64_t first_t, size_t count) {
  int64_t times[kGorillaSamplesMax];
  double values[kGorillaSamplesMax];
  GorillaDecode(words.data(), words.size(), first_t, count, times, values);
  for (size_t i = 0; i < count; ++i) {
    if (times[i] <= -Head::kTimeMax || times[i] >= Head::kTimeMax) continue;
    (void)head_->AddFloat(ref, times[i], values[i]);
  }
}

void HeadLoader::LoadSide(const WriteBatch& batch, LoadReport* report) {
  Times times;
  const auto take = [&](SeriesRef ref, int64_t t) {
    if (!Holds(ref) || !Wanted(t, t, 1, report)) return false;
    times.min = std::min(times.min, t);
    times.max = std::max(times.max, t);
    return true;
  };
  for (size_t i = 0; i < batch.refs.size(); ++i) {
    const SeriesRef ref = batch.refs[i];
    if (!take(ref, batch.timestamps[i])) continue;
    head_->side_.AddFloat(ref, batch.timestamps[i], batch.values[i]);
    head_->table_.line(ref).flags |= SeriesLine::kHasSide;
  }
  for (const WriteBatch::HistogramSample& h : batch.histograms) {
    if (!take(h.ref, h.timestamp_ms)) continue;
    head_->side_.AddHistogram(h.ref, h.timestamp_ms,
                              {h.histogram, h.start_timestamp_ms});
    head_->table_.line(h.ref).flags |=
        SeriesLine::kHasSide | SeriesLine::kHasHistograms;
  }
  if (times.min <= times.max) head_->NoteTimes(times.min, times.max);
}

void HeadLoader::LoadStarts(const WriteBatch& batch) {
  if (batch.start_timestamps.size() != batch.refs.size()) return;
  for (size_t i = 0; i < batch.refs.size(); ++i) {
    const int64_t t = batch.timestamps[i];
    LoadReport ignored;
    if (!Holds(batch.refs[i]) || !Wanted(t, t, 0, &ignored)) continue;
    head_->side_.AddStart(batch.refs[i], t, batch.start_timestamps[i]);
    head_->table_.line(batch.refs[i]).flags |= SeriesLine::kHasSide;
  }
}

void HeadLoader::Finish(const LoadReport& report) {
  head_->appended_.fetch_add(report.samples, std::memory_order_relaxed);
  if (report.malformed > 0) head_->memory_->index.RemoveUnused();
}

}  // namespace varve
