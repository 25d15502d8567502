#include <algorithm>
#include <cmath>
#include <limits>

#include "storage/status_macros.h"
#include "tests/support/naive_promql.h"

namespace varve::promql {
namespace {

using Sample = NaiveWindow::Sample;

double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

/// By how much a difference over the samples is stretched to the window.
double Stretch(const NaiveWindow& w, const std::vector<Sample>& s,
               bool is_counter, double first, double difference) {
  double to_start = Seconds(s.front().t - w.start_ms);
  double to_end = Seconds(w.end_ms - s.back().t);
  const double sampled = Seconds(s.back().t - s.front().t);
  const double average = sampled / static_cast<double>(s.size() - 1);
  if (to_start >= average * 1.1) to_start = average / 2;
  if (is_counter && difference > 0 && first >= 0) {
    to_start = std::min(to_start, sampled * (first / difference));
  }
  if (to_end >= average * 1.1) to_end = average / 2;
  return (sampled + to_start + to_end) / sampled;
}

void Extrapolated(std::string_view function, const NaiveWindow& w,
                  NaivePoint* out) {
  const std::vector<Sample>& s = w.samples;
  const bool is_counter = function != "delta";
  const double divisor =
      function == "rate" ? Seconds(w.end_ms - w.start_ms) : 1;
  if (s[0].histogram == nullptr) {
    double difference = s.back().value - s.front().value;
    for (size_t i = 1; is_counter && i < s.size(); ++i) {
      if (s[i].value < s[i - 1].value) difference += s[i - 1].value;
    }
    const double factor =
        Stretch(w, s, is_counter, s[0].value, difference) / divisor;
    out->value = difference * factor;
    return;
  }
  // A first sample before a reset counts for nothing, nor does its schema; for
  // gauges, only the first and the last do.
  std::vector<NaiveHistogram> h;
  for (const Sample& x : s) h.push_back(*x.histogram);
  if (is_counter && h[1].IsResetAfter(h[0])) {
    h[0] = NaiveHistogram();
    h[0].schema = h[1].schema;
  }
  int32_t schema = std::min(h.front().schema, h.back().schema);
  for (const NaiveHistogram& x : h) {
    if (is_counter) schema = std::min(schema, x.schema);
  }
  NaiveHistogram difference = h.back().Widened(schema).Plus(h.front(), -1);
  for (size_t i = 1; is_counter && i < h.size(); ++i) {
    if (h[i].IsResetAfter(h[i - 1])) difference = difference.Plus(h[i - 1], 1);
  }
  const double factor =
      Stretch(w, s, is_counter, s[0].histogram->count, difference.count) /
      divisor;
  difference.gauge = true;
  out->histogram =
      std::make_shared<const NaiveHistogram>(difference.Scaled(factor));
}

double Variance(const std::vector<double>& values) {
  double n = 0;
  NaiveSum mean;
  NaiveSum squares;
  for (double v : values) {
    ++n;
    const double delta = v - (mean.sum + mean.c);
    mean.Add(delta / n);
    squares.Add(delta * (v - (mean.sum + mean.c)));
  }
  return (squares.sum + squares.c) / n;
}

/// Slope and value at `origin` of the line of least squares.
std::pair<double, double> Line(const std::vector<Sample>& s, int64_t origin) {
  NaiveSum x, y, xy, xx;
  bool constant = true;
  for (const Sample& p : s) {
    const double dt = static_cast<double>(p.t - origin) / 1e3;
    constant = constant && (p.value == s[0].value || &p == &s[0]);
    x.Add(dt);
    y.Add(p.value);
    xy.Add(dt * p.value);
    xx.Add(dt * dt);
  }
  if (constant) {
    if (std::isinf(s[0].value)) return {NAN, NAN};
    return {0, s[0].value};
  }
  const auto n = static_cast<double>(s.size());
  const double sx = x.sum + x.c;
  const double sy = y.sum + y.c;
  const double slope =
      ((xy.sum + xy.c) - sx * sy / n) / ((xx.sum + xx.c) - sx * sx / n);
  return {slope, sy / n - slope * sx / n};
}

double Smoothed(const std::vector<double>& v, double factor, double trend) {
  double before = 0;
  double now = v[0];
  double b = v[1] - v[0];
  for (size_t i = 1; i < v.size(); ++i) {
    const double x = factor * v[i];
    if (i > 1) b = trend * (now - before) + (1 - trend) * b;
    const double y = (1 - factor) * (now + b);
    before = now;
    now = x + y;
  }
  return now;
}

double SumOf(const std::vector<double>& values) {
  NaiveSum sum;
  for (double v : values) sum.Add(v);
  return std::isinf(sum.sum) ? sum.sum : sum.sum + sum.c;
}

double MedianDeviation(const std::vector<double>& values) {
  for (double v : values) {
    if (std::isnan(v)) return NAN;
  }
  const double median = NaiveQuantile(0.5, values);
  std::vector<double> away;
  for (double v : values) away.push_back(std::abs(v - median));
  return NaiveQuantile(0.5, away);
}

/// Functions of any samples, floats and histograms.
bool OfAny(std::string_view f, const NaiveWindow& w, NaivePoint* out) {
  const Sample& first = w.samples.front();
  const Sample& last = w.samples.back();
  if (f == "count_over_time") {
    out->value = static_cast<double>(w.samples.size());
  } else if (f == "present_over_time") {
    out->value = 1;
  } else if (f == "last_over_time" || f == "first_over_time") {
    const Sample& s = f[0] == 'l' ? last : first;
    out->value = s.value;
    out->histogram = s.histogram;
  } else if (f == "ts_of_first_over_time") {
    out->value = Seconds(first.t);
  } else if (f == "ts_of_last_over_time") {
    out->value = Seconds(last.t);
  } else {
    return false;
  }
  return true;
}

/// The sample that an extreme is: for times, the last of equals.
const Sample& Extreme(const std::vector<Sample>& s, bool max, bool last) {
  const Sample* best = &s[0];
  for (const Sample& x : s) {
    const bool better = max ? x.value > best->value : x.value < best->value;
    const bool equal = last && x.value == best->value;
    if (better || equal || std::isnan(best->value)) best = &x;
  }
  return *best;
}

absl::StatusOr<bool> OfFloats(std::string_view f, const NaiveWindow& w,
                              int64_t t, const std::vector<double>& scalars,
                              NaivePoint* out) {
  std::vector<Sample> s;
  std::vector<double> v;
  for (const Sample& x : w.samples) {
    if (x.histogram != nullptr) continue;
    s.push_back(x);
    v.push_back(x.value);
  }
  if (v.empty()) return false;
  if (f == "min_over_time" || f == "max_over_time") {
    out->value = Extreme(s, f == "max_over_time", false).value;
  } else if (f == "ts_of_min_over_time" || f == "ts_of_max_over_time") {
    out->value = Seconds(Extreme(s, f == "ts_of_max_over_time", true).t);
  } else if (f == "stddev_over_time") {
    out->value = std::sqrt(Variance(v));
  } else if (f == "stdvar_over_time") {
    out->value = Variance(v);
  } else if (f == "quantile_over_time") {
    out->value = NaiveQuantile(scalars[0], v);
  } else if (f == "mad_over_time") {
    out->value = MedianDeviation(v);
  } else if (v.size() < 2) {
    return false;
  } else if (f == "deriv") {
    out->value = Line(s, s[0].t).first;
  } else if (f == "predict_linear") {
    const auto [slope, here] = Line(s, t);
    out->value = slope * scalars[0] + here;
  } else if (f == "double_exponential_smoothing") {
    out->value = Smoothed(v, scalars[0], scalars[1]);
  } else {
    return Unimplemented("{}", f);
  }
  return true;
}

bool IsPairwise(std::string_view f) {
  return f == "irate" || f == "idelta" || f == "changes" || f == "resets";
}

/// Functions that compare neighbours, over floats.
bool OfPairs(std::string_view f, const std::vector<Sample>& s,
             NaivePoint* out) {
  const size_t n = s.size();
  if (f == "irate" || f == "idelta") {
    if (n < 2) return false;
    const double newer = s[n - 1].value;
    const double older = s[n - 2].value;
    out->value = newer - older;
    if (f == "idelta") return true;
    if (newer < older) out->value = newer;
    out->value /= Seconds(s[n - 1].t - s[n - 2].t);
    return true;
  }
  out->value = 0;
  for (size_t i = 1; i < n; ++i) {
    const double a = s[i - 1].value;
    const double b = s[i].value;
    const bool counts =
        f == "resets" ? b < a : b != a && !(std::isnan(a) && std::isnan(b));
    out->value += counts ? 1 : 0;
  }
  return true;
}

}  // namespace

absl::StatusOr<bool> NaiveOverWindow(std::string_view f, const NaiveWindow& w,
                                     int64_t t,
                                     const std::vector<double>& scalars,
                                     NaivePoint* out) {
  if (w.samples.empty()) return false;
  if (OfAny(f, w, out)) return true;
  const auto histograms = static_cast<size_t>(
      std::count_if(w.samples.begin(), w.samples.end(),
                    [](const Sample& s) { return s.histogram != nullptr; }));
  if (IsPairwise(f)) {
    if (histograms > 0) return Unimplemented("{}", f);
    return OfPairs(f, w.samples, out);
  }
  const bool sums = f == "sum_over_time" || f == "avg_over_time";
  const bool extrapolates = f == "rate" || f == "increase" || f == "delta";
  if (!sums && !extrapolates) return OfFloats(f, w, t, scalars, out);
  if (histograms > 0 && histograms < w.samples.size()) return false;
  if (extrapolates) {
    if (w.samples.size() < 2) return false;
    Extrapolated(f, w, out);
    return true;
  }
  if (histograms == 0) {
    std::vector<double> values;
    for (const Sample& s : w.samples) values.push_back(s.value);
    out->value = f == "sum_over_time" ? SumOf(values) : NaiveMean(values);
    return true;
  }
  NaiveHistogram sum = *w.samples[0].histogram;
  for (size_t i = 1; i < w.samples.size(); ++i) {
    sum = sum.Plus(*w.samples[i].histogram, 1);
  }
  if (f == "avg_over_time") {
    sum = sum.Scaled(1.0 / static_cast<double>(w.samples.size()));
  }
  out->histogram = std::make_shared<const NaiveHistogram>(sum);
  return true;
}

}  // namespace varve::promql
