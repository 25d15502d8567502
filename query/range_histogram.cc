#include "query/range_histogram.h"

#include <optional>

#include "query/histogram_arithmetic.h"
#include "query/range_start.h"

namespace varve::promql {
namespace {

HistogramPtr Shared(FloatHistogram h) {
  return std::make_shared<const FloatHistogram>(std::move(h));
}

/// Adds with the remarks; false if the buckets cannot be added.
bool AddTo(HistogramSum* sum, const FloatHistogram& h, double sign,
           const RangeCall& call, const Window& w) {
  const HistogramSum::Outcome outcome = sum->Add(h, sign);
  Annotations& annotations = call.context.annotations;
  if (outcome.incompatible) {
    annotations.MixedExponentialCustom(w.metric, call.position());
    return false;
  }
  if (outcome.bounds_reconciled) {
    annotations.CustomBucketsReconciled(sign > 0 ? "addition" : "subtraction",
                                        call.position());
  }
  return true;
}

bool IsResetAt(const Window& w, size_t i, const FloatHistogram& before) {
  return IsStartReset(w.histogram_starts, w.histogram_times, i) ||
         IsReset(*w.histograms[i], before);
}

/// A histogram without observations, as `like` lays its buckets out.
FloatHistogram ZeroLike(const FloatHistogram& like) {
  FloatHistogram zero;
  zero.schema = like.schema;
  zero.custom_values = like.custom_values;
  return zero;
}

/// The last histogram less the first one (`from_zero`: less nothing), plus what
/// resets took away.
std::optional<FloatHistogram> Increase(const RangeCall& call, const Window& w,
                                       bool counter, bool from_zero) {
  const FloatHistogram& last = *w.histograms.back();
  const FloatHistogram* before = w.histograms.front().get();
  FloatHistogram nothing;
  if (counter && !from_zero && IsResetAt(w, 1, *before)) {
    // What stood before the reset is not looked at, so its layout is no matter.
    nothing = ZeroLike(*w.histograms[1]);
    before = &nothing;
  }
  bool custom = UsesCustomBuckets(*before);
  bool mixed = UsesCustomBuckets(last) != custom;
  for (size_t i = 1; counter && i + 1 < w.histograms.size(); ++i) {
    mixed = mixed || UsesCustomBuckets(*w.histograms[i]) != custom;
  }
  if (mixed) {
    call.context.annotations.MixedExponentialCustom(w.metric, call.position());
    return std::nullopt;
  }
  HistogramSum sum(last);
  if (!from_zero && !AddTo(&sum, *before, -1, call, w)) return std::nullopt;
  for (size_t i = 1; counter && i < w.histograms.size(); ++i) {
    if (IsResetAt(w, i, *before) && !AddTo(&sum, *before, 1, call, w)) {
      return std::nullopt;
    }
    before = w.histograms[i].get();
  }
  sum.SetHint(ResetHint::kGauge);
  return sum.Result();
}

}  // namespace

void RemarkHistogramKind(const RangeCall& call, const Window& w, bool counter) {
  Annotations& annotations = call.context.annotations;
  if (counter) {
    for (const HistogramPtr& h : w.histograms) {
      if (h->reset_hint != ResetHint::kGauge) continue;
      annotations.NotCounter(w.metric, call.position());
      return;
    }
  } else if (w.histograms.front()->reset_hint != ResetHint::kGauge ||
             w.histograms.back()->reset_hint != ResetHint::kGauge) {
    annotations.NotGauge(w.metric, call.position());
  }
}

void HistogramRate(const RangeCall& call, const Window& w, bool counter,
                   double seconds, size_t step, Row* out) {
  RemarkHistogramKind(call, w, counter);
  const std::span<const int64_t> times = w.histogram_times;
  const bool from_zero = counter && BeginsInside(w.histogram_starts, times, w);
  const std::optional<FloatHistogram> increase =
      Increase(call, w, counter, from_zero);
  if (!increase.has_value()) return;
  if (counter) RemarkStartOverlap(call, w, w.histogram_starts, times);
  const auto e =
      from_zero ? ExtrapolateFromStart(w.histogram_starts.front(), times, w)
                : Extrapolate(times.front(), times.back(), w.histograms.size(),
                              w.start_ms, w.end_ms);
  double factor = e.factor;
  const double first = w.histograms.front()->count;
  if (counter && increase->count > 0 && first >= 0) {
    const double to_zero = e.sampled * (first / increase->count);
    if (to_zero < e.to_start) {
      factor = (e.sampled + to_zero + e.to_end) / e.sampled;
    }
  }
  out->SetHistogram(step, Shared(Multiplied(*increase, factor / seconds)));
}

void HistogramInstantRate(const RangeCall& call, const Window& w,
                          const FloatHistogram& older,
                          const FloatHistogram& newer, double seconds,
                          bool counter, bool starts_anew, size_t step,
                          Row* out) {
  Annotations& annotations = call.context.annotations;
  const bool gauge_newer = newer.reset_hint == ResetHint::kGauge;
  const bool gauge_older = older.reset_hint == ResetHint::kGauge;
  if (counter && (gauge_newer || gauge_older)) {
    annotations.NotCounter(w.metric, call.position());
  }
  if (!counter && !(gauge_newer && gauge_older)) {
    annotations.NotGauge(w.metric, call.position());
  }
  HistogramSum sum(newer);
  const bool reset = counter && (starts_anew || IsReset(newer, older));
  if (!reset && !AddTo(&sum, older, -1, call, w)) return;
  sum.SetHint(ResetHint::kGauge);
  out->SetHistogram(
      step, Shared(counter ? Divided(sum.Result(), seconds) : sum.Result()));
}

}  // namespace varve::promql
