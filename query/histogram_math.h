#pragma once

#include <limits>
#include <vector>

#include "storage/histogram.h"

namespace varve::promql {

/// One bucket of a classic histogram: observations up to `upper`.
struct ClassicBucket {
  double upper = 0;
  double count = 0;  ///< cumulative
};

struct ClassicQuantile {
  double value = 0;
  /// A count was below the one of a lower bound and had to be lifted.
  bool forced_monotonicity = false;
  double lifted_first = 0;  ///< bounds of the first and last count lifted
  double lifted_last = 0;
  double lifted_most = 0;  ///< the largest difference
};

/// The quantile of a classic histogram, interpolated linearly. `buckets` in
/// ascending order of their bounds, at least one; they are changed: equal
/// bounds are merged and the counts made monotonic. NaN without a +Inf bucket.
ClassicQuantile QuantileOf(double q, std::vector<ClassicBucket>* buckets);

/// The fraction of observations between two bounds; likewise.
double FractionOf(double lower, double upper,
                  std::vector<ClassicBucket>* buckets);

/// A bucket of a native histogram, bounds included.
struct NativeBucket {
  double lower = 0;
  double upper = 0;
  double count = 0;
};

/// All buckets that a histogram names, in ascending order, the zero bucket only
/// if there is something in it. Buckets that reach into the zero bucket are cut
/// at its bounds.
std::vector<NativeBucket> BucketsOf(const FloatHistogram& histogram);

/// What observations of the value NaN did to a result.
enum class NanEffect : uint8_t { kNone, kSkewed, kResultNan };

struct NativeResult {
  double value = 0;
  NanEffect nan = NanEffect::kNone;
};

/// The quantile of a native histogram: interpolated exponentially, but linearly
/// in the zero bucket and in custom buckets.
NativeResult QuantileOf(double q, const FloatHistogram& histogram);

/// The fraction of observations between two bounds; kSkewed says that NaN
/// observations belong to no fraction.
NativeResult FractionOf(double lower, double upper,
                        const FloatHistogram& histogram);

/// The estimated variance of the observations.
double VarianceOf(const FloatHistogram& histogram);

}  // namespace varve::promql
