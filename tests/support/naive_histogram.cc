#include "tests/support/naive_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace varve::promql {
namespace {

std::map<int32_t, double> Buckets(const std::vector<HistogramSpan>& spans,
                                  const std::vector<double>& counts) {
  std::map<int32_t, double> out;
  int32_t index = 0;
  size_t next = 0;
  for (const HistogramSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length; ++i) out[index++] = counts[next++];
  }
  return out;
}

std::map<int32_t, double> WidenedBuckets(const std::map<int32_t, double>& in,
                                         int32_t by) {
  std::map<int32_t, double> out;
  for (const auto& [index, count] : in) {
    out[((index - 1) >> by) + 1] += count;
  }
  return out;
}

bool AnyLess(const std::map<int32_t, double>& now,
             const std::map<int32_t, double>& before) {
  for (const auto& [index, count] : before) {
    const auto it = now.find(index);
    if ((it == now.end() ? 0 : it->second) < count) return true;
  }
  return false;
}

/// A bucket (lower, upper] that holds something.
struct Bucket {
  double lower = 0;
  double upper = 0;
  double count = 0;
};

std::vector<Bucket> AllBuckets(const NaiveHistogram& h) {
  const auto bound = [&](int32_t index) {
    return std::exp2(std::ldexp(static_cast<double>(index), -h.schema));
  };
  std::vector<Bucket> out;
  for (auto it = h.negative.rbegin(); it != h.negative.rend(); ++it) {
    out.push_back({-bound(it->first), -bound(it->first - 1), it->second});
  }
  out.push_back({-h.zero_threshold, h.zero_threshold, h.zero_count});
  for (const auto& [index, count] : h.positive) {
    out.push_back({bound(index - 1), bound(index), count});
  }
  // The zero bucket takes from those that it overlaps.
  for (Bucket& b : out) {
    if (b.lower > 0) b.lower = std::max(b.lower, h.zero_threshold);
    if (b.upper < 0) b.upper = std::min(b.upper, -h.zero_threshold);
  }
  std::erase_if(out, [](const Bucket& b) { return b.count == 0; });
  return out;
}

bool HoldsAny(const std::map<int32_t, double>& buckets) {
  return std::any_of(buckets.begin(), buckets.end(),
                     [](const auto& bucket) { return bucket.second != 0; });
}

double Inside(const Bucket& b, double fraction) {
  if (b.lower <= 0 && b.upper >= 0) {
    return b.lower + (b.upper - b.lower) * fraction;
  }
  const double low = std::log2(std::abs(b.lower));
  const double high = std::log2(std::abs(b.upper));
  if (b.lower > 0) return std::exp2(low + (high - low) * fraction);
  return -std::exp2(high + (low - high) * (1 - fraction));
}

}  // namespace

NaiveHistogram NaiveHistogram::Of(const Histogram& histogram) {
  const FloatHistogram h = ToFloat(histogram);
  NaiveHistogram out;
  out.schema = h.schema;
  out.zero_threshold = h.zero_threshold;
  out.zero_count = h.zero_count;
  out.count = h.count;
  out.sum = h.sum;
  out.gauge = h.reset_hint == ResetHint::kGauge;
  out.positive = Buckets(h.positive_spans, h.positive_buckets);
  out.negative = Buckets(h.negative_spans, h.negative_buckets);
  return out;
}

NaiveHistogram NaiveHistogram::Widened(int32_t to_schema) const {
  NaiveHistogram out = *this;
  out.schema = to_schema;
  out.positive = WidenedBuckets(positive, schema - to_schema);
  out.negative = WidenedBuckets(negative, schema - to_schema);
  return out;
}

NaiveHistogram NaiveHistogram::Scaled(double factor) const {
  NaiveHistogram out = *this;
  out.zero_count *= factor;
  out.count *= factor;
  out.sum *= factor;
  for (auto& [index, count] : out.positive) count *= factor;
  for (auto& [index, count] : out.negative) count *= factor;
  return out;
}

NaiveHistogram NaiveHistogram::Plus(const NaiveHistogram& other,
                                    double factor) const {
  const int32_t narrow = std::min(schema, other.schema);
  NaiveHistogram out = Widened(narrow);
  const NaiveHistogram added = other.Widened(narrow);
  out.zero_count += factor * added.zero_count;
  out.count += factor * added.count;
  out.sum += factor * added.sum;
  for (const auto& [i, count] : added.positive) {
    out.positive[i] += factor * count;
  }
  for (const auto& [i, count] : added.negative) {
    out.negative[i] += factor * count;
  }
  return out;
}

bool NaiveHistogram::IsResetAfter(const NaiveHistogram& before) const {
  if (count < before.count || schema > before.schema) return true;
  const NaiveHistogram wide = before.Widened(schema);
  return zero_count < wide.zero_count || AnyLess(positive, wide.positive) ||
         AnyLess(negative, wide.negative);
}

double NaiveHistogram::Quantile(double q) const {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  if (q < 0) return -kInf;
  if (q > 1) return kInf;
  std::vector<Bucket> buckets = AllBuckets(*this);
  if (count == 0 || std::isnan(q) || buckets.empty()) return NAN;
  const bool forward = q < 0.5;
  double rank = forward ? q * count : (1 - q) * count;
  if (!forward) std::reverse(buckets.begin(), buckets.end());
  double seen = 0;
  Bucket bucket;
  for (const Bucket& b : buckets) {
    bucket = b;
    seen += b.count;
    if (seen >= rank) break;
  }
  if (bucket.lower < 0 && bucket.upper > 0) {
    const bool below = HoldsAny(negative);
    const bool above = HoldsAny(positive);
    if (above && !below) bucket.lower = 0;
    if (below && !above) bucket.upper = 0;
  }
  if (seen < rank) seen = count;
  rank = forward ? rank - (seen - bucket.count) : seen - rank;
  return Inside(bucket, rank / bucket.count);
}

}  // namespace varve::promql
