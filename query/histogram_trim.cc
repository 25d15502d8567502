#include <cmath>
#include <limits>

#include "query/histogram_arithmetic.h"

// The operators `</` and `>/`: what a histogram would be if only the
// observations on one side of a value had been made. Inside the bucket that the
// value divides, observations are taken to be spread evenly, on a logarithmic
// scale for exponential buckets.

namespace varve::promql {
namespace {

struct Bucket {
  double lower = 0;
  double upper = 0;
  double count = 0;
};

/// How many observations of a bucket stay, and the value that stands for those
/// that go.
struct Cut {
  double kept = 0;
  double removed_at = 0;
};

/// How many of a bucket's observations lie at or below a value.
double Below(const Bucket& b, double at, bool positive, bool linear) {
  if (at <= b.lower) return 0;
  if (at >= b.upper) return b.count;
  if (linear) return b.count * ((at - b.lower) / (b.upper - b.lower));
  const double lower = std::log2(std::abs(b.lower));
  const double upper = std::log2(std::abs(b.upper));
  const double v = std::log2(std::abs(at));
  return b.count * (positive ? (v - lower) / (upper - lower)
                             : 1 - (v - upper) / (lower - upper));
}

/// A bucket without a lower or an upper bound: where inside it the observations
/// lie is not known, except that an unbounded bucket below a positive bound is
/// taken to begin at zero.
Cut CutUnbounded(const Bucket& b, double at, bool upper) {
  if (std::isinf(b.lower) && b.lower < 0) {
    if (upper ? at >= b.upper : at <= b.lower) return {b.count, 0};
    if (at >= 0 && b.upper > at && !std::isinf(b.upper)) {
      const double below = at / b.upper;
      return upper ? Cut{b.count * below, (at + b.upper) / 2}
                   : Cut{b.count * (1 - below), at / 2};
    }
    return {0, b.upper};
  }
  if (!upper && at <= b.lower) return {b.count, 0};
  return {0, b.lower};
}

Cut CutBucket(const Bucket& b, double at, bool upper, bool positive,
              bool custom) {
  if (std::isinf(b.lower) || std::isinf(b.upper)) {
    return CutUnbounded(b, at, upper);
  }
  const double below = Below(b, at, positive, custom);
  Cut cut;
  cut.kept = upper ? below : b.count - below;
  if (custom) {
    cut.removed_at = (b.lower + b.upper) / 2;
  } else {
    const double other = upper ? b.lower : b.upper;
    const double middle = std::sqrt(std::abs(other) * std::abs(at));
    cut.removed_at = positive ? middle : -middle;
  }
  return cut;
}

class Trimmer {
 public:
  Trimmer(const FloatHistogram& h, double at, bool upper)
      : out_(h), at_(at), upper_(upper), custom_(UsesCustomBuckets(h)) {}

  FloatHistogram Run() {
    Side(out_.positive_spans, true, &out_.positive_buckets);
    Side(out_.negative_spans, false, &out_.negative_buckets);
    Zero();
    double sum = 0;
    if (count_ != 0) {
      sum = out_.sum - removed_sum_;
      if (!has_negative_ && sum < 0) sum = 0;
      if (!has_positive_ && sum > 0) sum = 0;
    }
    out_.count = count_;
    out_.sum = sum;
    return Compacted(out_);
  }

 private:
  Bucket BucketAt(int32_t index, bool positive, double count) const {
    if (custom_) {
      constexpr double kInf = std::numeric_limits<double>::infinity();
      const auto i = static_cast<size_t>(index);
      const std::vector<double>& bounds = out_.custom_values;
      return {i == 0 ? -kInf : bounds[i - 1],
              i < bounds.size() ? bounds[i] : kInf, count};
    }
    const double outer = BucketBound(index, out_.schema);
    const double inner = BucketBound(index - 1, out_.schema);
    if (positive) return {inner, outer, count};
    return {-outer, -inner, count};
  }

  void NoteSign(const Bucket& b, bool positive) {
    if (!custom_) {
      (positive ? has_positive_ : has_negative_) = true;
      return;
    }
    if (b.upper <= 0 || b.lower < 0) has_negative_ = true;
    if (b.upper > 0) has_positive_ = true;
  }

  void Side(const std::vector<HistogramSpan>& spans, bool positive,
            std::vector<double>* counts) {
    int32_t index = 0;
    size_t i = 0;
    for (const HistogramSpan& span : spans) {
      index += span.offset;
      for (uint32_t k = 0; k < span.length; ++k, ++index, ++i) {
        double& count = (*counts)[i];
        if (count != 0) One(BucketAt(index, positive, count), positive, &count);
      }
    }
  }

  void One(const Bucket& b, bool positive, double* count) {
    NoteSign(b, positive);
    Cut cut = CutBucket(b, at_, upper_, positive, custom_);
    const bool all_kept = upper_ ? b.upper <= at_ : b.lower >= at_;
    const bool divided = upper_ ? b.lower < at_ : b.upper > at_;
    if (all_kept) {
      count_ += b.count;
      return;
    }
    if (!divided) {
      cut.kept = 0;
      // What lies wholly on the wrong side goes with the bucket's middle.
      if (!custom_) {
        cut.removed_at = std::sqrt(b.lower * b.upper);
      }
    }
    removed_sum_ += (b.count - cut.kept) * cut.removed_at;
    count_ += cut.kept;
    *count = cut.kept;
  }

  void Zero() {
    if (!(out_.zero_count > 0)) return;
    const Bucket zero{-out_.zero_threshold, out_.zero_threshold,
                      out_.zero_count};
    const double below = Below(zero, at_, true, true);
    out_.zero_count = upper_ ? below : out_.zero_count - below;
    count_ += out_.zero_count;
  }

  FloatHistogram out_;
  const double at_;
  const bool upper_;
  const bool custom_;
  double count_ = 0;
  double removed_sum_ = 0;
  bool has_positive_ = false;
  bool has_negative_ = false;
};

}  // namespace

FloatHistogram Trimmed(const FloatHistogram& h, double at, bool upper) {
  return Trimmer(h, at, upper).Run();
}

}  // namespace varve::promql
