#include "query/range_extended.h"

#include <algorithm>
#include <limits>

#include "query/range_histogram.h"
#include "query/range_start.h"

namespace varve::promql {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::min();
constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

/// The last time at or before `start`, or kNever.
int64_t LastUpTo(std::span<const int64_t> times, int64_t start) {
  const auto it = std::upper_bound(times.begin(), times.end(), start);
  return it == times.begin() ? kNever : *(it - 1);
}

/// The first time at or after `end`, or kForEver.
int64_t FirstFrom(std::span<const int64_t> times, int64_t end) {
  const auto it = std::lower_bound(times.begin(), times.end(), end);
  return it == times.end() ? kForEver : *it;
}

template <typename... Columns>
void Cut(int64_t from, int64_t to, std::span<const int64_t>* times,
         Columns*... columns) {
  const auto begin = static_cast<size_t>(
      std::lower_bound(times->begin(), times->end(), from) - times->begin());
  const auto end = static_cast<size_t>(
      std::upper_bound(times->begin(), times->end(), to) - times->begin());
  *times = times->subspan(begin, end - begin);
  ((*columns =
        columns->empty() ? *columns : columns->subspan(begin, end - begin)),
   ...);
}

/// What happens at the edges of a smoothed window: which part of the first and
/// of the last interval between samples lies inside.
struct Edges {
  bool left = false;          ///< the first interval begins outside
  bool right = false;         ///< the last one ends outside
  double left_fraction = 0;   ///< of the first interval, outside
  double right_fraction = 0;  ///< of the last interval, inside
};

Edges FindEdges(const RangeCall& call, std::span<const int64_t> times,
                const Window& w) {
  Edges e;
  const size_t n = times.size();
  if (call.range.extension != Extension::kSmoothed || n < 2) return e;
  e.left = times[0] < w.start_ms;
  e.right = times[n - 1] > w.end_ms;
  const auto fraction = [&](size_t i, int64_t t) {
    return static_cast<double>(t - times[i]) /
           static_cast<double>(times[i + 1] - times[i]);
  };
  if (e.left) e.left_fraction = fraction(0, w.start_ms);
  if (e.right) e.right_fraction = fraction(n - 2, w.end_ms);
  return e;
}

double FloatIncrease(const RangeCall& call, const Window& w, bool counter) {
  const std::span<const double> v = w.values;
  const size_t n = v.size();
  const Edges e = FindEdges(call, w.times, w);
  const bool left_reset =
      counter && e.left && (v[1] < v[0] || IsStartReset(w.starts, w.times, 1));
  const bool right_reset =
      counter && e.right &&
      (v[n - 1] < v[n - 2] || IsStartReset(w.starts, w.times, n - 1));
  if (n == 2 && left_reset && right_reset) {
    return v[1] * (e.right_fraction - e.left_fraction);
  }
  double left = v[0];
  double right = v[n - 1];
  if (e.left) {
    left = Interpolate(w.times[0], left_reset ? 0 : v[0], w.times[1], v[1],
                       w.start_ms);
  }
  if (e.right) {
    right = Interpolate(w.times[n - 2], v[n - 2], w.times[n - 1],
                        right_reset ? v[n - 1] + v[n - 2] : v[n - 1], w.end_ms);
  }
  double increase = right - left;
  for (size_t i = 1; counter && i < n; ++i) {
    // Interpolation has taken care of a reset in an interval at the edge.
    if ((i == 1 && e.left) || (i + 1 == n && e.right)) continue;
    if (v[i] < v[i - 1] || IsStartReset(w.starts, w.times, i)) {
      increase += v[i - 1];
    }
  }
  return increase;
}

class HistogramIncrease {
 public:
  HistogramIncrease(const RangeCall& call, const Window& w, bool counter)
      : w_(w),
        counter_(counter),
        edges_(FindEdges(call, w.histogram_times, w)) {}

  /// False if buckets cannot be added. `reconciled`: custom bounds differed.
  bool Run(FloatHistogram* out, bool* reconciled) {
    const size_t n = w_.histograms.size();
    const bool left_reset = edges_.left && ResetAt(1);
    const bool right_reset = edges_.right && ResetAt(n - 1);
    if (n == 2 && left_reset && right_reset) {
      *out = Multiplied(At(1), edges_.right_fraction - edges_.left_fraction);
      out->reset_hint = ResetHint::kGauge;
      return true;
    }
    HistogramSum sum(At(n - 1));
    if (edges_.right) {
      const double f = edges_.right_fraction;
      sum = HistogramSum(Multiplied(At(n - 1), f));
      Add(&sum, Multiplied(At(n - 2), right_reset ? 1 : 1 - f), 1);
    }
    const double f = edges_.left_fraction;
    if (!left_reset) Add(&sum, Multiplied(At(0), edges_.left ? 1 - f : 1), -1);
    if (edges_.left) Add(&sum, Multiplied(At(1), f), -1);
    for (size_t i = 1; i < n; ++i) {
      if ((i == 1 && edges_.left) || (i + 1 == n && edges_.right)) continue;
      if (ResetAt(i)) Add(&sum, At(i - 1), 1);
    }
    sum.SetHint(ResetHint::kGauge);
    *out = sum.Result();
    *reconciled = reconciled_;
    return !incompatible_;
  }

 private:
  const FloatHistogram& At(size_t i) const { return *w_.histograms[i]; }
  bool ResetAt(size_t i) const {
    return counter_ &&
           (IsStartReset(w_.histogram_starts, w_.histogram_times, i) ||
            IsReset(At(i), At(i - 1)));
  }
  void Add(HistogramSum* sum, const FloatHistogram& h, double sign) {
    const HistogramSum::Outcome outcome = sum->Add(h, sign);
    incompatible_ = incompatible_ || outcome.incompatible;
    reconciled_ = reconciled_ || outcome.bounds_reconciled;
  }

  const Window& w_;
  const bool counter_;
  const Edges edges_;
  bool incompatible_ = false;
  bool reconciled_ = false;
};

}  // namespace

bool NarrowWindow(Extension extension, Window* w) {
  const int64_t from = std::max(LastUpTo(w->times, w->start_ms),
                                LastUpTo(w->histogram_times, w->start_ms));
  int64_t to = kForEver;
  if (extension == Extension::kSmoothed) {
    to = std::min(FirstFrom(w->times, w->end_ms),
                  FirstFrom(w->histogram_times, w->end_ms));
  }
  Cut(from, to, &w->times, &w->values, &w->starts);
  Cut(from, to, &w->histogram_times, &w->histograms, &w->histogram_starts);
  int64_t first = kForEver;
  int64_t last = kNever;
  for (const auto& times : {w->times, w->histogram_times}) {
    if (times.empty()) continue;
    first = std::min(first, times.front());
    last = std::max(last, times.back());
  }
  return last > w->start_ms && first <= w->end_ms;
}

absl::Status ExtendedRate(ExtendedKind kind, const RangeCall& call,
                          const Window& w, size_t step, Row* out) {
  Annotations& annotations = call.context.annotations;
  if (!w.values.empty() && !w.histograms.empty()) {
    annotations.MixedFloatsHistograms(w.metric, call.position());
    return absl::OkStatus();
  }
  const bool counter = kind != ExtendedKind::kDelta;
  const double seconds =
      kind == ExtendedKind::kRate ? RangeSeconds(call.range.range_ms) : 1;
  if (w.histograms.empty()) {
    out->SetFloat(step, FloatIncrease(call, w, counter) / seconds);
    return absl::OkStatus();
  }
  RemarkHistogramKind(call, w, counter);
  FloatHistogram increase;
  bool reconciled = false;
  if (!HistogramIncrease(call, w, counter).Run(&increase, &reconciled)) {
    annotations.MixedExponentialCustom(w.metric, call.position());
    return absl::OkStatus();
  }
  if (reconciled) {
    annotations.CustomBucketsReconciled("subtraction", call.position());
  }
  out->SetHistogram(
      step, std::make_shared<const FloatHistogram>(Divided(increase, seconds)));
  return absl::OkStatus();
}

}  // namespace varve::promql
