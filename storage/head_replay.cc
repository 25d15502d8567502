#include "storage/head_replay.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>

#include "storage/status_macros.h"
#include "storage/wal_record.h"

namespace varve {
namespace {

class Replayer {
 public:
  Replayer(std::span<const SealMark> marks, int64_t time_min_ms, Head* head,
           ReplayReport* report)
      : time_min_ms_(time_min_ms), head_(head), report_(report) {
    for (const SealMark& mark : marks) {
      uint64_t& segment =
          marks_[WindowOf(mark.window_start_ms, head->window_ms())];
      segment = std::max(segment, mark.wal_segment);
    }
  }

  absl::Status Add(uint64_t segment, WalRecordType type,
                   std::string_view payload) {
    absl::Status status;
    if (type == WalRecordType::kSeries) {
      status = DecodeSeries(payload, [this](SeriesRef ref, Labels labels) {
        AddSeries(ref, labels);
      });
    } else {
      status = DecodeCommit(payload, &batch_);
      if (status.ok()) Apply(segment);
    }
    // Bytes that are intact but mean nothing cost only themselves.
    if (!status.ok()) ++report_->malformed;
    return absl::OkStatus();
  }

 private:
  void AddSeries(SeriesRef ref, const Labels& labels) {
    const int64_t before = head_->table().created();
    const auto created = head_->table().CreateAt(ref, labels);
    if (!created.ok()) {
      ++report_->malformed;
      return;
    }
    if (ref >= refs_.size()) refs_.resize(ref + 1, kNoSeries);
    refs_[ref] = *created;
    if (*created != ref && head_->table().created() > before) {
      report_->moved.push_back(*created);
    }
  }

  /// The head's ref for the log's, kNoSeries when its record is missing.
  SeriesRef RefOf(SeriesRef ref) {
    const SeriesRef known = ref < refs_.size() ? refs_[ref] : kNoSeries;
    if (known == kNoSeries) {
      ++report_->unknown_refs;
      head_->table().Reserve(ref);
    }
    return known;
  }

  bool Wanted(uint64_t segment, int64_t t) {
    max_ms_ = std::max(max_ms_, t);
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
    max_ms_ = std::numeric_limits<int64_t>::min();
    FilterFloats(segment);
    std::erase_if(batch_.histograms, [&](WriteBatch::HistogramSample& s) {
      return !Wanted(segment, s.timestamp_ms) ||
             (s.ref = RefOf(s.ref)) == kNoSeries;
    });
    std::erase_if(batch_.exemplars, [&](WriteBatch::ExemplarSample& e) {
      return (e.ref = RefOf(e.ref)) == kNoSeries;
    });
    report_->samples += static_cast<int64_t>(batch_.size());
    if (segment != 0) {
      auto [it, fresh] = report_->segment_max_ms.try_emplace(segment, max_ms_);
      it->second = std::max(it->second, max_ms_);
    }
    WriteResult result;
    head_->Apply(batch_, &result);
  }

  const int64_t time_min_ms_;
  Head* const head_;
  ReplayReport* const report_;
  /// First segment whose samples of the window are in no block.
  absl::flat_hash_map<int64_t, uint64_t> marks_;
  std::vector<SeriesRef> refs_;  // by the log's ref
  WriteBatch batch_;
  int64_t max_ms_ = 0;
};

}  // namespace

absl::Status ReplayWal(const WalOptions& options,
                       std::span<const SealMark> marks, int64_t time_min_ms,
                       Head* head, ReplayReport* report) {
  Replayer replayer(marks, time_min_ms, head, report);
  VARVE_RETURN_IF_ERROR(ReadWal(
      options, &report->wal,
      [&](uint64_t segment, WalRecordType type, std::string_view payload) {
        return replayer.Add(segment, type, payload);
      }));
  head->table().RecycleUnused(report->wal.segment_max);
  return absl::OkStatus();
}

}  // namespace varve
