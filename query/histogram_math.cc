#include "query/histogram_math.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "query/histogram_arithmetic.h"
#include "query/kahan.h"
#include "storage/sample.h"

namespace varve::promql {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Relative differences of counts below this are rounding, not a mistake.
constexpr double kDeltaTolerance = 1e-12;

double Nan() { return std::bit_cast<double>(kNormalNanBits); }

/// Merges neighbours of equal bounds, as `0.5` and `5e-1` give them.
void Coalesce(std::vector<ClassicBucket>* buckets) {
  size_t last = 0;
  for (size_t i = 1; i < buckets->size(); ++i) {
    if ((*buckets)[i].upper == (*buckets)[last].upper) {
      (*buckets)[last].count += (*buckets)[i].count;
    } else {
      (*buckets)[++last] = (*buckets)[i];
    }
  }
  buckets->resize(last + 1);
}

bool AlmostEqual(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  const double sum = std::abs(a) + std::abs(b);
  const double difference = std::abs(a - b);
  constexpr double kLeastNormal = std::numeric_limits<double>::min();
  if (a == 0 || b == 0 || sum < kLeastNormal) {
    return difference < kDeltaTolerance * kLeastNormal;
  }
  return difference / std::min(sum, std::numeric_limits<double>::max()) <
         kDeltaTolerance;
}

/// Lifts counts that are below the one before, and tells if that was more than
/// the correction of rounding.
ClassicQuantile MakeMonotonic(std::vector<ClassicBucket>* buckets) {
  ClassicQuantile lifted;
  double last = buckets->front().count;
  for (size_t i = 1; i < buckets->size(); ++i) {
    auto& [upper, count] = (*buckets)[i];
    if (count == last) continue;
    if (AlmostEqual(last, count)) {
      count = last;
    } else if (count < last) {
      if (!lifted.forced_monotonicity) lifted.lifted_first = upper;
      lifted.forced_monotonicity = true;
      lifted.lifted_last = upper;
      lifted.lifted_most = std::max(lifted.lifted_most, last - count);
      count = last;
    } else {
      last = count;
    }
  }
  return lifted;
}

NativeBucket PositiveBucket(const FloatHistogram& h, int32_t index,
                            double count) {
  if (!UsesCustomBuckets(h)) {
    return {BucketBound(index - 1, h.schema), BucketBound(index, h.schema),
            count};
  }
  const auto size = static_cast<int32_t>(h.custom_values.size());
  const auto at = [&](int32_t i) {
    return h.custom_values[static_cast<size_t>(i)];
  };
  return {index <= 0 ? -kInf : at(std::min(index, size) - 1),
          index >= size || index < 0 ? kInf : at(index), count};
}

/// Calls f(index, count) for each bucket of one side.
template <typename F>
void ForEachBucket(const std::vector<HistogramSpan>& spans,
                   const std::vector<double>& counts, F f) {
  int32_t index = 0;
  size_t next = 0;
  for (const HistogramSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length && next < counts.size(); ++i) {
      f(index++, counts[next++]);
    }
  }
}

/// In a histogram with one populated side only, the zero bucket has that side.
void TrimZeroBucket(const FloatHistogram& h, NativeBucket* bucket) {
  const bool negative = !h.negative_buckets.empty();
  const bool positive = !h.positive_buckets.empty();
  if (positive && !negative) bucket->lower = 0;
  if (negative && !positive) bucket->upper = 0;
}

/// How far into the bucket, in observations, `v` lies.
double Interpolate(const NativeBucket& bucket, double v, bool linear) {
  if (linear) {
    // An infinitely wide bucket tells nothing about where its content lies.
    if (bucket.lower == -kInf) return bucket.count;
    return bucket.count * (v - bucket.lower) / (bucket.upper - bucket.lower);
  }
  const double lower = std::log2(std::abs(bucket.lower));
  const double upper = std::log2(std::abs(bucket.upper));
  const double at = std::log2(std::abs(v));
  const double fraction = v > 0 ? (at - lower) / (upper - lower)
                                : 1 - (at - upper) / (lower - upper);
  return bucket.count * fraction;
}

/// Sums up observations below two bounds, bucket by bucket in ascending order.
class FractionCounter {
 public:
  FractionCounter(double lower, double upper) : lower_{lower}, upper_{upper} {}

  /// `linear`: interpolate linearly inside this bucket.
  void Add(const NativeBucket& bucket, bool linear) {
    for (Edge* edge : {&lower_, &upper_}) {
      if (edge->found) continue;
      if (bucket.lower >= edge->value) {
        edge->rank = rank_;
        edge->found = true;
      } else if (bucket.upper > edge->value) {
        edge->rank = rank_ + Interpolate(bucket, edge->value, linear);
        edge->found = true;
      }
    }
    rank_ += bucket.count;
  }

  double rank() const { return rank_; }
  double Between(double limit) const {
    return Rank(upper_, limit) - Rank(lower_, limit);
  }

 private:
  struct Edge {
    double value = 0;
    double rank = 0;
    bool found = false;
  };

  static double Rank(const Edge& edge, double limit) {
    return edge.found && edge.rank <= limit ? edge.rank : limit;
  }

  Edge lower_;
  Edge upper_;
  double rank_ = 0;
};

/// The value `fraction` of the way through a bucket, on a logarithmic scale,
/// where all bucket widths of a schema are equal.
double ExponentialAt(const NativeBucket& bucket, double fraction) {
  const double lower = std::log2(std::abs(bucket.lower));
  const double upper = std::log2(std::abs(bucket.upper));
  if (bucket.lower > 0) return std::exp2(lower + (upper - lower) * fraction);
  return -std::exp2(upper + (lower - upper) * (1 - fraction));
}

}  // namespace

ClassicQuantile QuantileOf(double q, std::vector<ClassicBucket>* buckets) {
  if (std::isnan(q)) return {Nan()};
  if (q < 0) return {-kInf};
  if (q > 1) return {kInf};
  if (buckets->back().upper != kInf) return {Nan()};
  Coalesce(buckets);
  ClassicQuantile result = MakeMonotonic(buckets);
  const auto& all = *buckets;
  const double observations = all.back().count;
  if (all.size() < 2 || observations == 0) return {Nan()};
  double rank = q * observations;
  size_t b = 0;
  while (b + 1 < all.size() && !(all[b].count >= rank)) ++b;
  result.value = b + 1 == all.size() ? all[b - 1].upper : all[0].upper;
  if (b + 1 == all.size() || (b == 0 && all[0].upper <= 0)) return result;
  double start = 0;
  double count = all[b].count;
  if (b > 0) {
    start = all[b - 1].upper;
    count -= all[b - 1].count;
    rank -= all[b - 1].count;
  }
  result.value = start + (all[b].upper - start) * (rank / count);
  return result;
}

double FractionOf(double lower, double upper,
                  std::vector<ClassicBucket>* buckets) {
  if (buckets->back().upper != kInf) return Nan();
  Coalesce(buckets);
  const double count = buckets->back().count;
  if (count == 0 || std::isnan(lower) || std::isnan(upper)) return Nan();
  if (lower >= upper) return 0;
  FractionCounter counter(lower, upper);
  double below = -kInf;
  // A first bound above zero says that nothing is negative.
  if (buckets->front().upper > 0) below = 0;
  double cumulative = 0;
  for (const ClassicBucket& bucket : *buckets) {
    counter.Add({below, bucket.upper, bucket.count - cumulative}, true);
    below = bucket.upper;
    cumulative = bucket.count;
  }
  return counter.Between(count) / count;
}

std::vector<NativeBucket> BucketsOf(const FloatHistogram& histogram) {
  const FloatHistogram& h = histogram;
  std::vector<NativeBucket> buckets;
  buckets.reserve(h.negative_buckets.size() + h.positive_buckets.size() + 1);
  ForEachBucket(h.negative_spans, h.negative_buckets,
                [&](int32_t index, double count) {
                  buckets.push_back({-BucketBound(index, h.schema),
                                     -BucketBound(index - 1, h.schema), count});
                });
  std::reverse(buckets.begin(), buckets.end());
  const double zero = h.zero_threshold;
  for (NativeBucket& bucket : buckets) {
    if (bucket.upper > -zero) bucket.upper = -zero;
  }
  const bool custom = UsesCustomBuckets(h);
  if (!custom && h.zero_count > 0) {
    buckets.push_back({-zero, zero, h.zero_count});
  }
  ForEachBucket(h.positive_spans, h.positive_buckets,
                [&](int32_t index, double count) {
                  NativeBucket bucket = PositiveBucket(h, index, count);
                  if (!custom && bucket.lower < zero) bucket.lower = zero;
                  buckets.push_back(bucket);
                });
  return buckets;
}

NativeResult QuantileOf(double q, const FloatHistogram& histogram) {
  const FloatHistogram& h = histogram;
  if (q < 0) return {-kInf};
  if (q > 1) return {kInf};
  if (h.count == 0 || std::isnan(q)) return {Nan()};
  const std::vector<NativeBucket> buckets = BucketsOf(h);
  // NaN observations count, but stand in no bucket: a sum of NaN tells of them,
  // and then only the way up gives the right rank.
  const bool nans = std::isnan(h.sum);
  const bool up = nans || q < 0.5;
  double rank = up ? q * h.count : (1 - q) * h.count;
  NativeBucket bucket;
  double count = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    const auto& next = buckets[up ? i : buckets.size() - 1 - i];
    if (next.count == 0) continue;
    bucket = next;
    count += bucket.count;
    if (count >= rank) break;
  }
  const bool custom = UsesCustomBuckets(h);
  if (custom) {
    if (bucket.lower == -kInf) {
      if (bucket.upper <= 0) return {bucket.upper};
      bucket.lower = 0;
    } else if (bucket.upper == kInf) {
      return {bucket.lower};
    }
  } else if (bucket.lower < 0 && bucket.upper > 0) {
    TrimZeroBucket(h, &bucket);
  }
  count = std::min(count, h.count);
  if (count < rank) {
    return nans ? NativeResult{Nan(), NanEffect::kResultNan}
                : NativeResult{bucket.upper};
  }
  rank = up ? rank - (count - bucket.count) : count - rank;
  const double fraction = rank / bucket.count;
  const bool linear = custom || (bucket.lower <= 0 && bucket.upper >= 0);
  const double value =
      linear ? bucket.lower + (bucket.upper - bucket.lower) * fraction
             : ExponentialAt(bucket, fraction);
  return {value, nans ? NanEffect::kSkewed : NanEffect::kNone};
}

NativeResult FractionOf(double lower, double upper,
                        const FloatHistogram& histogram) {
  const FloatHistogram& h = histogram;
  if (h.count == 0 || std::isnan(lower) || std::isnan(upper)) return {Nan()};
  if (lower >= upper) return {0};
  const bool custom = UsesCustomBuckets(h);
  FractionCounter counter(lower, upper);
  for (NativeBucket bucket : BucketsOf(h)) {
    const bool zero = bucket.lower <= 0 && bucket.upper >= 0;
    if (zero && !custom) TrimZeroBucket(h, &bucket);
    if (custom && bucket.lower == -kInf && bucket.upper > 0) bucket.lower = 0;
    counter.Add(bucket, custom || zero);
  }
  const bool nans = std::isnan(h.sum);
  const double limit = nans ? counter.rank() : h.count;
  return {counter.Between(limit) / h.count,
          nans ? NanEffect::kSkewed : NanEffect::kNone};
}

double VarianceOf(const FloatHistogram& histogram) {
  const FloatHistogram& h = histogram;
  const double mean = h.sum / h.count;
  KahanSum sum;
  for (const NativeBucket& bucket : BucketsOf(h)) {
    if (bucket.count == 0) continue;
    double value = 0;
    if (UsesCustomBuckets(h)) {
      value = (bucket.upper + bucket.lower) / 2;
    } else if (bucket.lower > 0 || bucket.upper < 0) {
      value = std::sqrt(bucket.upper * bucket.lower);
      if (bucket.upper < 0) value = -value;
    }
    sum.Add(bucket.count * (value - mean) * (value - mean));
  }
  return sum.Total() / h.count;
}

}  // namespace varve::promql
