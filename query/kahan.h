#pragma once

#include <cmath>

namespace varve::promql {

/// A running sum with Neumaier's compensation, in Prometheus's order of
/// operations: the exact result depends on the order of the additions.
struct KahanSum {
  double sum = 0;
  double compensation = 0;

  void Add(double v) {
    const double t = sum + v;
    if (std::isinf(t)) {
      compensation = 0;
    } else if (std::abs(sum) >= std::abs(v)) {
      compensation += (sum - t) + v;
    } else {
      compensation += (v - t) + sum;
    }
    sum = t;
  }
  double Total() const { return std::isinf(sum) ? sum : sum + compensation; }
};

/// The mean of the values added: the compensated sum divided by the count, as
/// long as the sum does not overflow; from there on an incremental mean.
class KahanMean {
 public:
  void Add(double v) {
    ++count_;
    if (count_ == 1) {
      sum_ = {v, 0};
      return;
    }
    if (!incremental_) {
      KahanSum next = sum_;
      next.Add(v);
      if (!std::isinf(next.sum)) {
        sum_ = next;
        return;
      }
      incremental_ = true;
      sum_.sum /= count_ - 1;
      sum_.compensation /= count_ - 1;
    }
    const double q = (count_ - 1) / count_;
    KahanSum next{q * sum_.sum, q * sum_.compensation};
    next.Add(v / count_);
    sum_ = next;
  }
  double Mean() const {
    if (incremental_) return sum_.sum + sum_.compensation;
    return sum_.sum / count_ + sum_.compensation / count_;
  }
  double count() const { return count_; }

 private:
  KahanSum sum_;  ///< of the values, or the mean once incremental_
  double count_ = 0;
  bool incremental_ = false;
};

}  // namespace varve::promql
