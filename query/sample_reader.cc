#include "query/sample_reader.h"

#include <algorithm>

#include "query/histogram_arithmetic.h"
#include "storage/status_macros.h"

namespace varve::promql {

void RangeSeries::Clear() {
  times.clear();
  values.clear();
  starts.clear();
  histogram_times.clear();
  histograms.clear();
  histogram_starts.clear();
  times_ids.clear();
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
  out->Clear();
  shared_ = true;
  before_ = nullptr;
  while (true) {
    VARVE_ASSIGN_OR_RETURN(const bool more, cursor.Next(&columns_));
    if (!more) break;
    VARVE_RETURN_IF_ERROR(
        context_.query.ChargeSamples(static_cast<int64_t>(columns_.size())));
    if (columns_.kind == SampleColumns::Kind::kFloat) {
      AddFloats(out);
    } else {
      AddHistograms(out);
    }
  }
  if (!shared_) out->times_ids.clear();
  return absl::OkStatus();
}

void SampleReader::AddFloats(RangeSeries* out) {
  before_ = nullptr;
  const bool starts = HasStarts();
  if (starts && out->starts.empty()) {
    out->starts.resize(out->times.size(), kNoStartTimestamp);
  }
  const bool keep_starts = starts || !out->starts.empty();
  const bool stale =
      std::any_of(columns_.values.begin(), columns_.values.end(), IsStaleNan);
  if (!stale) {
    out->times.insert(out->times.end(), columns_.timestamps.begin(),
                      columns_.timestamps.end());
    out->values.insert(out->values.end(), columns_.values.begin(),
                       columns_.values.end());
  }
  for (size_t i = 0; (stale || keep_starts) && i < columns_.size(); ++i) {
    if (IsStaleNan(columns_.values[i])) continue;
    if (stale) {
      out->times.push_back(columns_.timestamps[i]);
      out->values.push_back(columns_.values[i]);
    }
    if (keep_starts) {
      out->starts.push_back(starts ? columns_.start_timestamps[i]
                                   : kNoStartTimestamp);
    }
  }
  shared_ = shared_ && !stale && columns_.timestamps_id != 0;
  out->times_ids.push_back(columns_.timestamps_id);
}

void SampleReader::AddHistograms(RangeSeries* out) {
  const bool starts = HasStarts();
  for (size_t i = 0; i < columns_.size(); ++i) {
    const std::shared_ptr<const Histogram>& h = columns_.histograms[i];
    if (IsStale(*h)) {
      before_ = nullptr;
      continue;
    }
    out->histogram_times.push_back(columns_.timestamps[i]);
    out->histograms.push_back(MakeFloatHistogram(*h, before_.get()));
    out->histogram_starts.push_back(starts ? columns_.start_timestamps[i]
                                           : kNoStartTimestamp);
    if (derive_hints_) before_ = h;
  }
}

bool SampleReader::HasStarts() const {
  if (!context_.options.use_start_timestamps) return false;
  return std::any_of(columns_.start_timestamps.begin(),
                     columns_.start_timestamps.end(),
                     [](int64_t t) { return t != kNoStartTimestamp; });
}

}  // namespace varve::promql
