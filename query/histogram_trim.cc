#include <algorithm>
#include <cmath>
#include <limits>

#include "query/histogram_arithmetic.h"

// The operators `</` and `>/`: what a histogram would be if only the
// observations on one side of a value had been made. Inside the bucket that the
// value divides, observations are taken to be spread evenly, on a logarithmic
// scale for exponential buckets. The new sum is estimated from the middles of
// what is left of the buckets, unless all of them are left.

namespace varve::promql {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Bucket {
  double lower = 0;
  double upper = 0;
  double count = 0;
};

class Trimmer {
 public:
  Trimmer(const FloatHistogram& h, double at, bool upper)
      : out_(h), at_(at), upper_(upper), custom_(UsesCustomBuckets(h)) {}

  FloatHistogram Run() {
    Zero();
    Side(out_.positive_spans, true, &out_.positive_buckets);
    Side(out_.negative_spans, false, &out_.negative_buckets);
    if (!removed_) return out_;
    out_.count = count_;
    out_.sum = count_ == 0 ? 0 : sum_;
    return Compacted(out_);
  }

 private:
  Bucket BucketAt(int32_t index, bool positive, double count) const {
    if (custom_) {
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

  void Side(const std::vector<HistogramSpan>& spans, bool positive,
            std::vector<double>* counts) {
    int32_t index = 0;
    size_t i = 0;
    for (const HistogramSpan& span : spans) {
      index += span.offset;
      for (uint32_t k = 0; k < span.length; ++k, ++index, ++i) {
        double& count = (*counts)[i];
        if (count == 0) continue;
        const Bucket bucket = BucketAt(index, positive, count);
        count = Keep(bucket, custom_);
      }
    }
  }

  void Zero() {
    if (!(out_.zero_count > 0)) return;
    Bucket zero{-out_.zero_threshold, out_.zero_threshold, out_.zero_count};
    // Observations near zero have the sign that all others have.
    const bool positive = !out_.positive_buckets.empty();
    const bool negative = !out_.negative_buckets.empty();
    if (positive && !negative) zero.lower = 0;
    if (negative && !positive) zero.upper = 0;
    out_.zero_count = Keep(zero, true);
  }

  /// How many of a bucket's observations stay.
  double Keep(const Bucket& bucket, bool linear) {
    const Bucket b = WithoutInfinity(bucket);
    Bucket left = b;
    if (std::isinf(b.lower) || std::isinf(b.upper)) {
      left = KeptUnbounded(b);
    } else if (upper_) {
      left.upper = std::min(b.upper, at_);
      left.count = Below(b, linear);
    } else {
      left.lower = std::max(b.lower, at_);
      left.count = b.count - Below(b, linear);
    }
    if (left.count != b.count) removed_ = true;
    count_ += left.count;
    if (left.count > 0) sum_ += left.count * Middle(left, linear);
    return left.count;
  }

  /// A bucket without a lower bound is taken to begin at zero if its upper
  /// bound is positive.
  static Bucket WithoutInfinity(Bucket b) {
    if (b.lower == -kInf && b.upper > 0 && b.upper != kInf) b.lower = 0;
    return b;
  }

  /// Where inside an unbounded bucket observations lie is not known. They stay
  /// on the side that has no bound, and go from the other.
  Bucket KeptUnbounded(Bucket b) const {
    const bool open_side = upper_ ? b.upper != kInf : b.lower != -kInf;
    const bool everything = upper_ ? at_ == kInf : at_ == -kInf;
    const bool nothing = upper_ ? at_ == -kInf : at_ == kInf;
    if (everything) return b;
    if (!open_side || nothing) {
      b.count = 0;
    } else if (upper_) {
      b.upper = std::min(b.upper, at_);
    } else {
      b.lower = std::max(b.lower, at_);
    }
    return b;
  }

  /// The observations at or below the value.
  double Below(const Bucket& b, bool linear) const {
    if (at_ <= b.lower) return 0;
    if (at_ >= b.upper) return b.count;
    if (linear) return b.count * ((at_ - b.lower) / (b.upper - b.lower));
    const double lower = std::log2(std::abs(b.lower));
    const double upper = std::log2(std::abs(b.upper));
    const double v = std::log2(std::abs(at_));
    return b.count * ((v - lower) / (upper - lower));
  }

  /// The value that stands for all observations of a bucket.
  static double Middle(const Bucket& b, bool linear) {
    if (b.lower == -kInf) return b.upper == kInf ? 0 : b.upper;
    if (b.upper == kInf) return b.lower;
    if (linear) return (b.lower + b.upper) / 2;
    const double middle = std::sqrt(b.lower * b.upper);
    return b.upper <= 0 ? -middle : middle;
  }

  FloatHistogram out_;
  const double at_;
  const bool upper_;
  const bool custom_;
  double count_ = 0;
  double sum_ = 0;
  bool removed_ = false;
};

}  // namespace

FloatHistogram Trimmed(const FloatHistogram& h, double at, bool upper) {
  return Trimmer(h, at, upper).Run();
}

}  // namespace varve::promql
