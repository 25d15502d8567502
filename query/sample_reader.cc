#include "query/sample_reader.h"

#include <algorithm>

#include "query/histogram_arithmetic.h"
#include "query/sliding.h"
#include "storage/status_macros.h"

namespace varve::promql {

void RangeSeries::Clear() {
  times.clear();
  times_ids.clear();
  ClearButTimes();
}

void RangeSeries::ClearButTimes() {
  values.clear();
  starts.clear();
  histogram_times.clear();
  histograms.clear();
  histogram_starts.clear();
}

HistogramPtr MakeFloatHistogram(const Histogram& sample,
                                const Histogram* before) {
  auto h = std::make_shared<FloatHistogram>(ToFloat(sample));
  if (h->reset_hint == ResetHint::kUnknown && before != nullptr) {
    const FloatHistogram last = ToFloat(*before);
    if (last.reset_hint != ResetHint::kGauge) {
      h->reset_hint =
          IsReset(*h, last) ? ResetHint::kReset : ResetHint::kNotReset;
    }
  }
  return h;
}

absl::Status SampleReader::Read(SeriesCursor& cursor, RangeSeries* out) {
  VARVE_RETURN_IF_ERROR(context_.query.Check());
  context_.query.ReleaseSamples(std::exchange(held_, 0));
  out->ClearButTimes();
  shared_ = true;
  keeping_ = true;
  kept_times_ = 0;
  kept_ids_ = 0;
  before_ = nullptr;
  for (size_t batch = 0;; ++batch) {
    const size_t place = std::min(batch, kBuffersMax - 1);
    if (place == buffers_.size()) buffers_.emplace_back();
    SampleColumns& columns = buffers_[place];
    VARVE_ASSIGN_OR_RETURN(const bool more, cursor.Next(&columns));
    if (!more) break;
    const auto samples = static_cast<int64_t>(columns.size());
    VARVE_RETURN_IF_ERROR(context_.query.ChargeSamples(samples));
    held_ += samples;
    if (columns.kind == SampleColumns::Kind::kFloat) {
      AddFloats(columns, out);
    } else {
      AddHistograms(columns, out);
    }
  }
  StopKeeping(out);
  if (!shared_) out->times_ids.clear();
  return absl::OkStatus();
}

/// The times of the series before are no longer of use: cuts them off.
void SampleReader::StopKeeping(RangeSeries* out) {
  if (!keeping_) return;
  keeping_ = false;
  out->times.resize(kept_times_);
  out->times_ids.resize(kept_ids_);
}

void SampleReader::AddTimes(const SampleColumns& columns, RangeSeries* out) {
  const uint64_t id = columns.timestamps_id;
  if (keeping_ && id != 0 && kept_ids_ < out->times_ids.size() &&
      out->times_ids[kept_ids_] == id) {
    ++kept_ids_;
    kept_times_ += columns.size();
    return;
  }
  StopKeeping(out);
  out->times.insert(out->times.end(), columns.timestamps.begin(),
                    columns.timestamps.end());
  out->times_ids.push_back(id);
  shared_ = shared_ && id != 0;
}

void SampleReader::AddFloats(const SampleColumns& columns, RangeSeries* out) {
  before_ = nullptr;
  const bool starts = HasStarts(columns);
  if (starts && out->starts.empty()) {
    out->starts.resize(out->values.size(), kNoStartTimestamp);
  }
  const bool keep_starts = starts || !out->starts.empty();
  const bool stale = HasStale(columns.values);
  if (!stale) {
    AddTimes(columns, out);
    out->values.insert(out->values.end(), columns.values.begin(),
                       columns.values.end());
    if (!keep_starts) return;
  } else {
    StopKeeping(out);
    shared_ = false;
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (IsStaleNan(columns.values[i])) continue;
    if (stale) {
      out->times.push_back(columns.timestamps[i]);
      out->values.push_back(columns.values[i]);
    }
    if (keep_starts) {
      out->starts.push_back(starts ? columns.start_timestamps[i]
                                   : kNoStartTimestamp);
    }
  }
}

void SampleReader::AddHistograms(const SampleColumns& columns,
                                 RangeSeries* out) {
  const bool starts = HasStarts(columns);
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::shared_ptr<const Histogram>& h = columns.histograms[i];
    if (IsStale(*h)) {
      before_ = nullptr;
      continue;
    }
    out->histogram_times.push_back(columns.timestamps[i]);
    out->histograms.push_back(MakeFloatHistogram(*h, before_.get()));
    out->histogram_starts.push_back(starts ? columns.start_timestamps[i]
                                           : kNoStartTimestamp);
    if (derive_hints_) before_ = h;
  }
}

bool SampleReader::HasStarts(const SampleColumns& columns) const {
  if (!context_.options.use_start_timestamps) return false;
  return std::any_of(columns.start_timestamps.begin(),
                     columns.start_timestamps.end(),
                     [](int64_t t) { return t != kNoStartTimestamp; });
}

}  // namespace varve::promql
