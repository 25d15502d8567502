#pragma once

#include <cstdint>
#include <map>

#include "storage/histogram.h"

namespace varve::promql {

/// A native histogram with exponential buckets as two maps from a bucket's
/// index to its count. Zero buckets are all of one width in the tests that use
/// it.
struct NaiveHistogram {
  int32_t schema = 0;
  double zero_threshold = 0;
  double zero_count = 0;
  double count = 0;
  double sum = 0;
  bool gauge = false;
  std::map<int32_t, double> positive;
  std::map<int32_t, double> negative;

  static NaiveHistogram Of(const Histogram& histogram);
  /// The same observations in wider buckets. REQUIRES: schema <= this schema.
  NaiveHistogram Widened(int32_t to_schema) const;
  NaiveHistogram Scaled(double factor) const;
  /// this + factor * other, in the wider of the two schemas.
  NaiveHistogram Plus(const NaiveHistogram& other, double factor) const;
  /// Whether a counter began anew between `before` and this.
  bool IsResetAfter(const NaiveHistogram& before) const;
  double Quantile(double q) const;
};

}  // namespace varve::promql
