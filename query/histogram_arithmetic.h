#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "query/kahan.h"
#include "storage/histogram.h"

namespace varve::promql {

inline bool UsesCustomBuckets(const FloatHistogram& h) {
  return h.schema == kCustomBucketsSchema;
}

/// A running, compensated sum of native histograms of any layouts.
///
/// Layouts are brought together as they come: to the coarser schema, to a zero
/// threshold that cuts through no populated bucket of either, or to the custom
/// bounds that both have. Exponential and custom buckets cannot be added.
class HistogramSum {
 public:
  explicit HistogramSum(const FloatHistogram& first);

  struct Outcome {
    /// Custom and exponential buckets met; nothing was added.
    bool incompatible = false;
    /// One says that the counter was reset, the other that it was not.
    bool reset_collision = false;
    /// The custom bounds differed.
    bool bounds_reconciled = false;
  };
  /// `sign`: 1 or -1.
  Outcome Add(const FloatHistogram& other, double sign = 1);
  /// Would the count or the sum overflow?
  bool WouldOverflow(const FloatHistogram& other) const;
  void Scale(double factor);
  void SetHint(ResetHint hint) { hint_ = hint; }

  /// The sum divided by `divisor`, without empty buckets.
  FloatHistogram Result(double divisor = 1) const;

 private:
  friend bool IsReset(const FloatHistogram& now, const FloatHistogram& before);
  /// Bucket index and count, ascending.
  using Side = std::vector<std::pair<int32_t, KahanSum>>;

  static Side MakeSide(const std::vector<HistogramSpan>& spans,
                       const std::vector<double>& counts);
  static void AddSide(Side* to, const Side& from, double sign);
  bool NoteHint(ResetHint other);
  void ReduceSchema(int32_t schema);
  void Rebound(const std::vector<double>& bounds);
  /// Widens the zero bucket to at least `threshold`, and further if that lies
  /// inside a populated bucket.
  void WidenZero(double threshold);
  static void Align(HistogramSum* a, HistogramSum* b);

  ResetHint hint_ = ResetHint::kUnknown;
  int32_t schema_ = 0;
  double zero_threshold_ = 0;
  KahanSum zero_;
  KahanSum count_;
  KahanSum sum_;
  Side positive_;
  Side negative_;
  std::vector<double> bounds_;
};

/// Every count and the sum times (divided by) a number; a negative one makes a
/// gauge. Division by zero leaves no buckets.
FloatHistogram Multiplied(const FloatHistogram& h, double factor);
FloatHistogram Divided(const FloatHistogram& h, double divisor);

/// Without empty buckets.
FloatHistogram Compacted(const FloatHistogram& h);

/// Equal numbers and equal layout; the reset hints may differ.
bool SameHistogram(const FloatHistogram& a, const FloatHistogram& b);

/// Does a counter histogram show that it was reset after `before`?
bool IsReset(const FloatHistogram& now, const FloatHistogram& before);

/// The observations below (`upper`) or above a value, estimated where it lies
/// inside a bucket: the operators `</` and `>/`.
FloatHistogram Trimmed(const FloatHistogram& h, double at, bool upper);

/// The upper bound of bucket `index` of an exponential schema.
double BucketBound(int32_t index, int32_t schema);

}  // namespace varve::promql
