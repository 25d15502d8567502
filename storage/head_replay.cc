#include "storage/head_replay.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>

#include "storage/head_checkpoint.h"
#include "storage/load_pool.h"
#include "storage/paged_array.h"
#include "storage/status_macros.h"
#include "storage/wal_record.h"

namespace varve {
namespace {

class Replayer {
 public:
  Replayer(std::span<const SealMark> marks,
           std::span<const DeletionPtr> deletions, int64_t time_min_ms,
           Head* head, ReplayReport* report)
      : time_min_ms_(time_min_ms),
        head_(head),
        report_(report),
        deletions_(deletions),
        loader_(
            head, [this](int64_t window) { return CheckpointIsSealed(window); },
            time_min_ms),
        pool_(&loader_) {
    for (const SealMark& mark : marks) {
      uint64_t& segment =
          marks_[WindowOf(mark.window_start_ms, head->window_ms())];
      segment = std::max(segment, mark.wal_segment);
    }
  }

  absl::Status Add(uint64_t segment, WalRecordType type,
                   std::string_view payload) {
    if (segment != 0) {
      FinishCheckpoint();
      DeleteBefore(segment);
    }
    absl::Status status;
    if (type > WalRecordType::kState) {
      status = AddFromCheckpoint(segment, type, payload);
    } else if (type == WalRecordType::kSeries) {
      FinishCheckpoint();
      status = DecodeSeries(payload, [this](SeriesRef ref, Labels labels) {
        AddSeries(ref, labels);
      });
    } else {
      FinishCheckpoint();
      status = DecodeCommit(payload, &batch_);
      if (status.ok()) Apply(segment);
    }
    // Bytes that are intact but mean nothing cost only themselves.
    if (!status.ok()) ++report_->malformed;
    return absl::OkStatus();
  }

  /// After the last record.
  void Finish() {
    FinishCheckpoint();
    DeleteBefore(std::numeric_limits<uint64_t>::max());
  }

 private:
  void FinishCheckpoint() {
    if (!loading_) return;
    loading_ = false;
    const LoadReport loaded = pool_.Finish();
    report_->samples += loaded.samples;
    report_->sealed += loaded.sealed;
    report_->too_old += loaded.too_old;
    report_->malformed += loaded.malformed;
    for (const SeriesRef ref : loaded.refs) SetRef(ref, ref);
    loader_.Finish(loaded);
  }

  /// What all records before this segment brought is in the head. A checkpoint
  /// was made without what earlier deletions took; it may hold what was written
  /// after them.
  void DeleteBefore(uint64_t segment) {
    for (; !deletions_.empty() && deletions_[0]->wal_segment <= segment;
         deletions_ = deletions_.subspan(1)) {
      const Deletion& deletion = *deletions_[0];
      if (deletion.wal_segment < report_->wal.checkpoint) continue;
      report_->deleted += head_->Delete(deletion.selectors, deletion.range);
    }
  }

  absl::Status AddFromCheckpoint(uint64_t segment, WalRecordType type,
                                 std::string_view payload) {
    if (segment != 0) {
      return DataLoss("a record of type {} in a segment of the log",
                      static_cast<int>(type));
    }
    loading_ = true;
    if (type == WalRecordType::kHeadSeries) pool_.Add(payload);
    if (type != WalRecordType::kHeadSide &&
        type != WalRecordType::kHeadStarts) {
      return absl::OkStatus();
    }
    VARVE_RETURN_IF_ERROR(DecodeCommit(payload, &batch_));
    pool_.Drain();
    if (type == WalRecordType::kHeadStarts) {
      loader_.LoadStarts(batch_);
      return absl::OkStatus();
    }
    LoadReport loaded;
    loader_.LoadSide(batch_, &loaded);
    report_->samples += loaded.samples;
    report_->sealed += loaded.sealed;
    report_->too_old += loaded.too_old;
    return absl::OkStatus();
  }

  /// What a checkpoint holds of a window stood in segments before its number.
  bool CheckpointIsSealed(int64_t window) const {
    const auto mark = marks_.find(window);
    return mark != marks_.end() && mark->second >= report_->wal.checkpoint;
  }

  void SetRef(SeriesRef ref, SeriesRef known) { refs_.Ensure(ref) = known + 1; }

  void AddSeries(SeriesRef ref, const Labels& labels) {
    const int64_t before = head_->table().created();
    const auto created = head_->table().CreateAt(ref, labels);
    if (!created.ok()) {
      ++report_->malformed;
      return;
    }
    SetRef(ref, *created);
    if (*created != ref && head_->table().created() > before) {
      report_->moved.push_back(*created);
    }
  }

  /// The head's ref for the log's, kNoSeries when its record is missing.
  SeriesRef RefOf(SeriesRef ref) {
    const SeriesRef* at = refs_.find(ref);
    const SeriesRef known = at == nullptr ? kNoSeries : *at - 1;
    if (known == kNoSeries) {
      ++report_->unknown_refs;
      head_->table().Reserve(ref);
    }
    return known;
  }

  bool Wanted(uint64_t segment, int64_t t) {
    if (t < time_min_ms_ || t <= -Head::kTimeMax || t >= Head::kTimeMax) {
      ++report_->too_old;
      return false;
    }
    if (marks_.empty()) return true;
    const auto mark = marks_.find(WindowOf(t, head_->window_ms()));
    if (mark == marks_.end() || mark->second <= segment) return true;
    ++report_->sealed;
    return false;
  }

  void FilterFloats(uint64_t segment) {
    size_t kept = 0;
    for (size_t i = 0; i < batch_.refs.size(); ++i) {
      if (!Wanted(segment, batch_.timestamps[i])) continue;
      const SeriesRef ref = RefOf(batch_.refs[i]);
      if (ref == kNoSeries) continue;
      batch_.refs[kept] = ref;
      batch_.timestamps[kept] = batch_.timestamps[i];
      batch_.values[kept] = batch_.values[i];
      if (!batch_.start_timestamps.empty()) {
        batch_.start_timestamps[kept] = batch_.start_timestamps[i];
      }
      ++kept;
    }
    batch_.refs.resize(kept);
    batch_.timestamps.resize(kept);
    batch_.values.resize(kept);
    if (!batch_.start_timestamps.empty()) batch_.start_timestamps.resize(kept);
  }

  void Apply(uint64_t segment) {
    FilterFloats(segment);
    std::erase_if(batch_.histograms, [&](WriteBatch::HistogramSample& s) {
      return !Wanted(segment, s.timestamp_ms) ||
             (s.ref = RefOf(s.ref)) == kNoSeries;
    });
    std::erase_if(batch_.exemplars, [&](WriteBatch::ExemplarSample& e) {
      return (e.ref = RefOf(e.ref)) == kNoSeries;
    });
    report_->samples += static_cast<int64_t>(batch_.size());
    WriteResult result;
    head_->Apply(batch_, &result);
  }

  const int64_t time_min_ms_;
  Head* const head_;
  ReplayReport* const report_;
  std::span<const DeletionPtr> deletions_;  // those that are still to come
  /// First segment whose samples of the window are in no block.
  absl::flat_hash_map<int64_t, uint64_t> marks_;
  /// The head's ref + 1 by the log's ref, which may be few and far between.
  PagedArray<SeriesRef, 12, (size_t{1} << 16)> refs_;
  WriteBatch batch_;
  HeadLoader loader_;
  bool loading_ = false;
  LoadPool pool_;  // its threads use what stands above
};

}  // namespace

absl::Status ReplayWal(const WalOptions& options,
                       std::span<const SealMark> marks,
                       std::span<const DeletionPtr> deletions,
                       int64_t time_min_ms, Head* head, ReplayReport* report) {
  Replayer replayer(marks, deletions, time_min_ms, head, report);
  VARVE_RETURN_IF_ERROR(ReadWal(
      options, &report->wal,
      [&](uint64_t segment, WalRecordType type, std::string_view payload) {
        return replayer.Add(segment, type, payload);
      }));
  replayer.Finish();
  head->table().RecycleUnused(report->wal.segment_max);
  return absl::OkStatus();
}

}  // namespace varve
