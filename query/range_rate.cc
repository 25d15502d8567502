#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "query/histogram_arithmetic.h"
#include "query/kahan.h"
#include "query/range_extended.h"
#include "query/range_functions.h"
#include "query/range_histogram.h"
#include "query/range_start.h"
#include "query/sliding.h"
#include "storage/sample.h"
#include "storage/status_macros.h"

// Functions of how a series changes inside a window: rate and its kin,
// regression, changes and resets.

namespace varve::promql {
namespace {

enum class Kind : uint8_t { kRate, kIncrease, kDelta };

/// The factor by which a difference is stretched to the whole window.
double Factor(const WindowPlan::Extrapolation& e, Kind kind, double first,
              double difference, double range_seconds) {
  double factor = e.factor;
  if (kind != Kind::kDelta && difference > 0 && first >= 0) {
    // A counter was never below zero.
    const double to_zero = e.sampled * (first / difference);
    if (to_zero < e.to_start) {
      factor = (e.sampled + to_zero + e.to_end) / e.sampled;
    }
  }
  return kind == Kind::kRate ? factor / range_seconds : factor;
}

template <Kind kKind>
absl::Status Extrapolated(const RangeCall& call, const Window& w, size_t step,
                          Row* out) {
  if (!w.values.empty() && !w.histograms.empty()) {
    call.context.annotations.MixedFloatsHistograms(w.metric, call.position());
    return absl::OkStatus();
  }
  constexpr bool kCounter = kKind != Kind::kDelta;
  if (w.histograms.size() > 1 ||
      (kCounter && w.histograms.size() == 1 &&
       BeginsInside(w.histogram_starts, w.histogram_times, w))) {
    const double seconds =
        kKind == Kind::kRate ? RangeSeconds(call.range.range_ms) : 1;
    HistogramRate(call, w, kCounter, seconds, step, out);
    return absl::OkStatus();
  }
  const size_t n = w.values.size();
  const bool from_zero =
      kCounter && n > 0 && BeginsInside(w.starts, w.times, w);
  if (n < 2 && !from_zero) return absl::OkStatus();
  const double first = from_zero ? 0 : w.values[0];
  double difference = w.values[n - 1] - first;
  for (size_t i = 1; kCounter && i < n; ++i) {
    if (w.values[i] < w.values[i - 1] || IsStartReset(w.starts, w.times, i)) {
      difference += w.values[i - 1];
    }
  }
  if (kCounter) RemarkStartOverlap(call, w, w.starts, w.times);
  const auto e = from_zero ? ExtrapolateFromStart(w.starts[0], w.times, w)
                           : Extrapolate(w.times[0], w.times[n - 1], n,
                                         w.start_ms, w.end_ms);
  out->SetFloat(step, difference * Factor(e, kKind, first, difference,
                                          RangeSeconds(call.range.range_ms)));
  return absl::OkStatus();
}

/// The same for all windows of a series, with the plan's extrapolation. Resets
/// are looked for once; the value before each is added again for every window
/// that holds it, in order, since a prefix sum would round differently.
template <Kind kKind>
void ExtrapolatedSeries(const RangeCall& call, const WindowPlan& plan,
                        const RangeSeries& series, Row* out) {
  const std::vector<double>& v = series.values;
  std::vector<uint32_t> resets;
  if (kKind != Kind::kDelta) FindResets(v, &resets);
  const double range_seconds = RangeSeconds(call.range.range_ms);
  size_t next_reset = 0;
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    const uint32_t begin = plan.begin[step];
    const uint32_t end = plan.end[step];
    if (end - begin < 2) continue;
    double difference = v[end - 1] - v[begin];
    while (next_reset < resets.size() && resets[next_reset] <= begin) {
      ++next_reset;
    }
    for (size_t r = next_reset; r < resets.size() && resets[r] < end; ++r) {
      difference += v[resets[r] - 1];
    }
    out->values[step] =
        difference * Factor(plan.extrapolation[step], kKind, v[begin],
                            difference, range_seconds);
  }
}

/// The last two samples of a window, whatever their kinds.
struct LastTwo {
  struct Sample {
    int64_t time = 0;
    double value = 0;
    const FloatHistogram* histogram = nullptr;
    size_t index = 0;  ///< among the floats or the histograms
  };
  Sample newer;
  Sample older;
};

LastTwo FindLastTwo(const Window& w) {
  size_t f = w.values.size();
  size_t h = w.histograms.size();
  const auto take = [&] {
    LastTwo::Sample s;
    if (h == 0 || (f > 0 && w.times[f - 1] > w.histogram_times[h - 1])) {
      --f;
      s.time = w.times[f];
      s.value = w.values[f];
      s.index = f;
    } else {
      --h;
      s.time = w.histogram_times[h];
      s.histogram = w.histograms[h].get();
      s.index = h;
    }
    return s;
  };
  LastTwo two;
  two.newer = take();
  two.older = take();
  return two;
}

template <bool kRate>
absl::Status Instant(const RangeCall& call, const Window& w, size_t step,
                     Row* out) {
  if (w.values.size() + w.histograms.size() < 2) return absl::OkStatus();
  const LastTwo two = FindLastTwo(w);
  if ((two.newer.histogram == nullptr) != (two.older.histogram == nullptr)) {
    call.context.annotations.MixedFloatsHistograms(w.metric, call.position());
    return absl::OkStatus();
  }
  const double seconds =
      static_cast<double>(two.newer.time - two.older.time) / 1000;
  if (two.newer.histogram != nullptr) {
    HistogramInstantRate(
        call, w, *two.older.histogram, *two.newer.histogram, seconds, kRate,
        IsStartReset(w.histogram_starts, w.histogram_times, two.newer.index),
        step, out);
    return absl::OkStatus();
  }
  double result = two.newer.value;
  const bool reset =
      kRate && (two.newer.value < two.older.value ||
                IsStartReset(w.starts, w.times, two.newer.index));
  if (!reset) result -= two.older.value;
  if (kRate) result /= seconds;
  out->SetFloat(step, result);
  return absl::OkStatus();
}

struct Line {
  double slope = 0;
  double intercept = 0;
};

/// Least squares, with the intercept at `origin_ms`.
Line Regression(const Window& w, int64_t origin_ms) {
  KahanSum x_sum;
  KahanSum y_sum;
  KahanSum xy_sum;
  KahanSum xx_sum;
  bool constant = true;
  const auto n = static_cast<double>(w.values.size());
  for (size_t i = 0; i < w.values.size(); ++i) {
    const double y = w.values[i];
    if (constant && i > 0 && y != w.values[0]) constant = false;
    const double x = static_cast<double>(w.times[i] - origin_ms) / 1e3;
    x_sum.Add(x);
    y_sum.Add(y);
    xy_sum.Add(x * y);
    xx_sum.Add(x * x);
  }
  if (constant) {
    const double nan = std::bit_cast<double>(kNormalNanBits);
    if (std::isinf(w.values[0])) return {nan, nan};
    return {0, w.values[0]};
  }
  const double x = x_sum.sum + x_sum.compensation;
  const double y = y_sum.sum + y_sum.compensation;
  const double xy = xy_sum.sum + xy_sum.compensation;
  const double xx = xx_sum.sum + xx_sum.compensation;
  const double covariance = xy - x * y / n;
  const double variance = xx - x * x / n;
  Line line;
  line.slope = covariance / variance;
  line.intercept = y / n - line.slope * x / n;
  return line;
}

/// Regression needs two floats; histograms among them are worth a remark.
bool CanRegress(const RangeCall& call, const Window& w) {
  if (!w.values.empty() && !w.histograms.empty()) {
    call.context.annotations.HistogramIgnoredInRange(w.metric, call.position());
  }
  return w.values.size() >= 2;
}

absl::Status Deriv(const RangeCall& call, const Window& w, size_t step,
                   Row* out) {
  if (CanRegress(call, w)) {
    out->SetFloat(step, Regression(w, w.times[0]).slope);
  }
  return absl::OkStatus();
}

absl::Status PredictLinear(const RangeCall& call, const Window& w, size_t step,
                           Row* out) {
  if (!CanRegress(call, w)) return absl::OkStatus();
  const Line line = Regression(w, call.grid.At(static_cast<int64_t>(step)));
  out->SetFloat(step, line.slope * call.scalars[1][step] + line.intercept);
  return absl::OkStatus();
}

absl::Status DoubleExponentialSmoothing(const RangeCall& call, const Window& w,
                                        size_t step, Row* out) {
  const double smoothing = call.scalars[1][step];
  const double trend = call.scalars[2][step];
  if (smoothing <= 0 || smoothing >= 1) {
    return FailedPrecondition(
        "invalid smoothing factor. Expected: 0 < sf < 1, got: {:f}", smoothing);
  }
  if (trend <= 0 || trend >= 1) {
    return FailedPrecondition(
        "invalid trend factor. Expected: 0 < tf < 1, got: {:f}", trend);
  }
  if (!CanRegress(call, w)) return absl::OkStatus();
  double before = 0;
  double smoothed = w.values[0];
  double b = w.values[1] - w.values[0];
  for (size_t i = 1; i < w.values.size(); ++i) {
    const double x = smoothing * w.values[i];
    if (i > 1) b = trend * (smoothed - before) + (1 - trend) * b;
    const double y = (1 - smoothing) * (smoothed + b);
    before = smoothed;
    smoothed = x + y;
  }
  out->SetFloat(step, smoothed);
  return absl::OkStatus();
}

/// A sample of a window, whatever its kind.
struct Point {
  double value = 0;
  const FloatHistogram* histogram = nullptr;
  bool starts_anew = false;  ///< as its start timestamp says
};

bool IsChange(const Point& before, const Point& now) {
  if (now.histogram != nullptr) {
    return !SameHistogram(*now.histogram, *before.histogram);
  }
  return now.value != before.value &&
         !(std::isnan(now.value) && std::isnan(before.value));
}

bool IsResetBetween(const Point& before, const Point& now) {
  if (now.starts_anew) return true;
  if (now.histogram != nullptr) {
    return IsReset(*now.histogram, *before.histogram);
  }
  return now.value < before.value;
}

/// Counts the neighbours for which the predicate holds; a change between float
/// and histogram counts as well.
template <bool (*kPredicate)(const Point&, const Point&)>
absl::Status CountPairs(const RangeCall&, const Window& w, size_t step,
                        Row* out) {
  int64_t count = 0;
  size_t f = 0;
  size_t h = 0;
  Point before;
  while (f < w.values.size() || h < w.histograms.size()) {
    const bool first = f + h == 0;
    Point now;
    if (h == w.histograms.size() ||
        (f < w.values.size() && w.times[f] < w.histogram_times[h])) {
      now.value = w.values[f];
      now.starts_anew = f > 0 && IsStartReset(w.starts, w.times, f);
      ++f;
    } else {
      now.histogram = w.histograms[h].get();
      now.starts_anew =
          h > 0 && IsStartReset(w.histogram_starts, w.histogram_times, h);
      ++h;
    }
    const bool same_kind =
        (now.histogram == nullptr) == (before.histogram == nullptr);
    if (!first && (!same_kind || kPredicate(before, now))) ++count;
    before = now;
  }
  out->SetFloat(step, static_cast<double>(count));
  return absl::OkStatus();
}

/// The same for all windows of a series of floats, from running counts.
template <void (*kCount)(std::span<const double>, std::vector<uint32_t>*)>
void CountPairsSeries(const RangeCall&, const WindowPlan& plan,
                      const RangeSeries& series, Row* out) {
  std::vector<uint32_t> counts;
  kCount(series.values, &counts);
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) == 0) continue;
    out->values[step] = static_cast<double>(counts[plan.end[step] - 1] -
                                            counts[plan.begin[step]]);
  }
}

template <bool kRate>
void InstantSeries(const RangeCall&, const WindowPlan& plan,
                   const RangeSeries& series, Row* out) {
  for (size_t step = 0; step < plan.begin.size(); ++step) {
    if (plan.count(step) < 2) continue;
    const size_t i = plan.end[step] - 1;
    const double newer = series.values[i];
    const double older = series.values[i - 1];
    const double result = kRate && newer < older ? newer : newer - older;
    const double seconds =
        static_cast<double>(series.times[i] - series.times[i - 1]) / 1000;
    out->values[step] = kRate ? result / seconds : result;
  }
}

template <ExtendedKind kKind>
absl::Status Extended(const RangeCall& call, const Window& w, size_t step,
                      Row* out) {
  return ExtendedRate(kKind, call, w, step, out);
}

constexpr RangeFunction kFunctions[] = {
    {.name = "changes",
     .window = CountPairs<IsChange>,
     .series = CountPairsSeries<CountChanges>,
     .extended = CountPairs<IsChange>},
    {.name = "delta",
     .window = Extrapolated<Kind::kDelta>,
     .series = ExtrapolatedSeries<Kind::kDelta>,
     .extrapolates = true,
     .extended = Extended<ExtendedKind::kDelta>,
     .smooths = true},
    {.name = "deriv", .window = Deriv},
    {.name = "double_exponential_smoothing",
     .window = DoubleExponentialSmoothing},
    {.name = "idelta",
     .window = Instant<false>,
     .series = InstantSeries<false>},
    {.name = "increase",
     .window = Extrapolated<Kind::kIncrease>,
     .series = ExtrapolatedSeries<Kind::kIncrease>,
     .extrapolates = true,
     .extended = Extended<ExtendedKind::kIncrease>,
     .smooths = true},
    {.name = "irate", .window = Instant<true>, .series = InstantSeries<true>},
    {.name = "predict_linear", .window = PredictLinear},
    {.name = "rate",
     .window = Extrapolated<Kind::kRate>,
     .series = ExtrapolatedSeries<Kind::kRate>,
     .extrapolates = true,
     .extended = Extended<ExtendedKind::kRate>,
     .smooths = true},
    {.name = "resets",
     .window = CountPairs<IsResetBetween>,
     .series = CountPairsSeries<CountResets>,
     .extended = CountPairs<IsResetBetween>},
};

}  // namespace

std::span<const RangeFunction> RateFunctions() { return kFunctions; }

}  // namespace varve::promql
