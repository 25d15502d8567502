#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "query/histogram_fold.h"
#include "query/kahan.h"
#include "query/quantile.h"
#include "query/range_functions.h"
#include "query/sliding.h"
#include "storage/status_macros.h"

// The *_over_time family: aggregations of one series along time.

namespace varve::promql {
namespace {

double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

/// For functions of floats only: false when there is nothing to compute; an
/// info when histograms stand between the floats.
bool FloatsOnly(const RangeCall& call, const Window& w) {
  if (w.values.empty()) return false;
  if (!w.histograms.empty()) {
    call.context.annotations.HistogramIgnoredInRange(w.metric, call.position());
  }
  return true;
}

/// A mix of floats and histograms has no sum: warns and gives true.
bool IsMixed(const RangeCall& call, const Window& w) {
  if (w.values.empty() || w.histograms.empty()) return false;
  call.context.annotations.MixedFloatsHistograms(w.metric, call.position());
  return true;
}

double Sum(std::span<const double> values) {
  KahanSum sum;
  for (double v : values) sum.Add(v);
  return sum.Total();
}

double Mean(std::span<const double> values) {
  KahanMean mean;
  for (double v : values) mean.Add(v);
  return mean.Mean();
}

double Variance(std::span<const double> values) {
  double count = 0;
  KahanSum mean;
  KahanSum squares;
  for (double v : values) {
    ++count;
    const double delta = v - (mean.sum + mean.compensation);
    mean.Add(delta / count);
    squares.Add(delta * (v - (mean.sum + mean.compensation)));
  }
  return (squares.sum + squares.compensation) / count;
}

double Deviation(std::span<const double> values) {
  return std::sqrt(Variance(values));
}

template <bool kMax>
double Extreme(std::span<const double> values) {
  double extreme = values[0];
  for (double v : values) {
    if ((kMax ? v > extreme : v < extreme) || std::isnan(extreme)) extreme = v;
  }
  return extreme;
}

double MedianDeviation(std::span<const double> values) {
  for (double v : values) {
    if (std::isnan(v)) return std::bit_cast<double>(kNormalNanBits);
  }
  std::vector<double> sorted(values.begin(), values.end());
  const double median = Quantile(0.5, &sorted);
  sorted.clear();
  for (double v : values) sorted.push_back(std::abs(v - median));
  return Quantile(0.5, &sorted);
}

template <bool kMax>
void ExtremeSeries(const RangeCall& call, const WindowPlan& plan,
                   const RangeSeries& series, Row* out) {
  size_t samples = 0;
  for (size_t i = 0; i < plan.begin.size(); ++i) samples += plan.count(i);
  const Extremes<kMax> extremes(series.values, samples);
  size_t unchecked = 0;
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) == 0) continue;
    unchecked += plan.count(step);
    if (unchecked > kSamplesPerCheck) {
      unchecked = 0;
      if (!call.context.query.Check().ok()) return;
    }
    out->values[step] = extremes.Of(plan.begin[step], plan.end[step]);
  }
}

using FloatKernel = double (*)(std::span<const double>);

/// A function of the floats alone, over one window.
template <FloatKernel kKernel>
absl::Status OfFloats(const RangeCall& call, const Window& w, size_t step,
                      Row* out) {
  if (FloatsOnly(call, w)) out->SetFloat(step, kKernel(w.values));
  return absl::OkStatus();
}

/// The same over all windows of a series of floats.
template <FloatKernel kKernel>
void OfFloatSeries(const RangeCall& call, const WindowPlan& plan,
                   const RangeSeries& series, Row* out) {
  const std::span<const double> values = series.values;
  size_t unchecked = 0;
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) == 0) continue;
    unchecked += plan.count(step);
    if (unchecked > kSamplesPerCheck) {
      unchecked = 0;
      if (!call.context.query.Check().ok()) return;  // the caller sees it too
    }
    out->values[step] =
        kKernel(values.subspan(plan.begin[step], plan.count(step)));
  }
}

void FoldHistograms(const RangeCall& call, const Window& w,
                    HistogramFold::Kind kind, size_t step, Row* out) {
  HistogramFold fold;
  for (const HistogramPtr& h : w.histograms) fold.Add(kind, *h);
  Annotations& annotations = call.context.annotations;
  if (fold.incompatible()) {
    annotations.MixedExponentialCustom(w.metric, call.position());
    return;
  }
  if (fold.reset_collision()) {
    annotations.CounterResetCollision("aggregation", call.position());
  }
  if (fold.bounds_reconciled()) {
    annotations.CustomBucketsReconciled("aggregation", call.position());
  }
  out->SetHistogram(step,
                    std::make_shared<const FloatHistogram>(fold.Result(kind)));
}

/// A function with a result for histograms, too.
template <FloatKernel kKernel, HistogramFold::Kind kKind>
absl::Status OfFloatsUnmixed(const RangeCall& call, const Window& w,
                             size_t step, Row* out) {
  if (IsMixed(call, w)) return absl::OkStatus();
  if (w.values.empty()) {
    FoldHistograms(call, w, kKind, step, out);
    return absl::OkStatus();
  }
  out->SetFloat(step, kKernel(w.values));
  return absl::OkStatus();
}

absl::Status Count(const RangeCall&, const Window& w, size_t step, Row* out) {
  out->SetFloat(step,
                static_cast<double>(w.values.size() + w.histograms.size()));
  return absl::OkStatus();
}

void CountSeries(const RangeCall&, const WindowPlan& plan, const RangeSeries&,
                 Row* out) {
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) > 0) {
      out->values[step] = static_cast<double>(plan.count(step));
    }
  }
}

absl::Status Present(const RangeCall&, const Window&, size_t step, Row* out) {
  out->SetFloat(step, 1);
  return absl::OkStatus();
}

absl::Status Last(const RangeCall&, const Window& w, size_t step, Row* out) {
  const bool histogram =
      !w.histograms.empty() &&
      (w.values.empty() || w.histogram_times.back() >= w.times.back());
  if (histogram) {
    out->SetHistogram(step, w.histograms.back());
  } else {
    out->SetFloat(step, w.values.back());
  }
  return absl::OkStatus();
}

void LastSeries(const RangeCall&, const WindowPlan& plan,
                const RangeSeries& series, Row* out) {
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) > 0) {
      out->values[step] = series.values[plan.end[step] - 1];
    }
  }
}

absl::Status First(const RangeCall&, const Window& w, size_t step, Row* out) {
  const bool histogram =
      !w.histograms.empty() &&
      (w.values.empty() || w.histogram_times.front() <= w.times.front());
  if (histogram) {
    out->SetHistogram(step, w.histograms.front());
  } else {
    out->SetFloat(step, w.values.front());
  }
  return absl::OkStatus();
}

absl::Status TimeOfFirst(const RangeCall&, const Window& w, size_t step,
                         Row* out) {
  int64_t t = std::numeric_limits<int64_t>::max();
  if (!w.times.empty()) t = w.times.front();
  if (!w.histograms.empty()) t = std::min(t, w.histogram_times.front());
  out->SetFloat(step, Seconds(t));
  return absl::OkStatus();
}

absl::Status TimeOfLast(const RangeCall&, const Window& w, size_t step,
                        Row* out) {
  int64_t t = std::numeric_limits<int64_t>::min();
  if (!w.times.empty()) t = w.times.back();
  if (!w.histograms.empty()) t = std::max(t, w.histogram_times.back());
  out->SetFloat(step, Seconds(t));
  return absl::OkStatus();
}

template <bool kMax>
absl::Status TimeOfExtreme(const RangeCall& call, const Window& w, size_t step,
                           Row* out) {
  if (!FloatsOnly(call, w)) return absl::OkStatus();
  size_t best = 0;
  for (size_t i = 0; i < w.values.size(); ++i) {
    const double v = w.values[i];
    const double b = w.values[best];
    if ((kMax ? v >= b : v <= b) || std::isnan(b)) best = i;
  }
  out->SetFloat(step, Seconds(w.times[best]));
  return absl::OkStatus();
}

void RemarkQuantile(const RangeCall& call, double q) {
  if (q >= 0 && q <= 1) return;
  call.context.annotations.InvalidQuantile(q, ArgumentPosition(call.node, 0));
}

absl::Status QuantileOverTime(const RangeCall& call, const Window& w,
                              size_t step, Row* out) {
  if (w.values.empty()) return absl::OkStatus();
  const double q = call.scalars[0][step];
  RemarkQuantile(call, q);
  FloatsOnly(call, w);
  std::vector<double> values(w.values.begin(), w.values.end());
  out->SetFloat(step, Quantile(q, &values));
  return absl::OkStatus();
}

void QuantileSeries(const RangeCall& call, const WindowPlan& plan,
                    const RangeSeries& series, Row* out) {
  SortedWindow window(series.values);
  size_t unchecked = 0;
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) == 0) continue;
    unchecked += plan.count(step);
    if (unchecked > kSamplesPerCheck) {
      unchecked = 0;
      if (!call.context.query.Check().ok()) return;
    }
    const double q = call.scalars[0][step];
    RemarkQuantile(call, q);
    if (IsFixedQuantile(q, &out->values[step])) continue;
    window.MoveTo(plan.begin[step], plan.end[step]);
    const QuantileRank rank = RankOf(q, window.size());
    out->values[step] = rank.Between(window[rank.lower], window[rank.upper]);
  }
}

constexpr RangeFunction kFunctions[] = {
    {"avg_over_time", OfFloatsUnmixed<Mean, HistogramFold::Kind::kMean>,
     OfFloatSeries<Mean>},
    {"count_over_time", Count, CountSeries},
    {"first_over_time", First, nullptr, true},
    {"last_over_time", Last, LastSeries, true},
    {"mad_over_time", OfFloats<MedianDeviation>,
     OfFloatSeries<MedianDeviation>},
    {"max_over_time", OfFloats<Extreme<true>>, ExtremeSeries<true>},
    {"min_over_time", OfFloats<Extreme<false>>, ExtremeSeries<false>},
    {"present_over_time", Present},
    {"quantile_over_time", QuantileOverTime, QuantileSeries},
    {"stddev_over_time", OfFloats<Deviation>, OfFloatSeries<Deviation>},
    {"stdvar_over_time", OfFloats<Variance>, OfFloatSeries<Variance>},
    {"sum_over_time", OfFloatsUnmixed<Sum, HistogramFold::Kind::kSum>,
     OfFloatSeries<Sum>},
    {"ts_of_first_over_time", TimeOfFirst},
    {"ts_of_last_over_time", TimeOfLast},
    {"ts_of_max_over_time", TimeOfExtreme<true>},
    {"ts_of_min_over_time", TimeOfExtreme<false>},
};

}  // namespace

std::span<const RangeFunction> OverTimeFunctions() { return kFunctions; }

}  // namespace varve::promql
