#pragma once

#include <optional>

#include "query/histogram_arithmetic.h"

namespace varve::promql {

/// The sum or the mean of some histograms, with what is to be remarked about
/// them: for the aggregations sum and avg, across series and along time.
class HistogramFold {
 public:
  enum class Kind : uint8_t { kSum, kMean };

  /// Once custom and exponential buckets have met, nothing more is added.
  void Add(Kind kind, const FloatHistogram& h) {
    if (incompatible_) return;
    count_ += 1;
    reset_seen_ = reset_seen_ || h.reset_hint == ResetHint::kReset;
    not_reset_seen_ = not_reset_seen_ || h.reset_hint == ResetHint::kNotReset;
    if (!sum_.has_value()) {
      sum_.emplace(h);
      return;
    }
    HistogramSum::Outcome outcome;
    if (kind == Kind::kMean && !incremental_ && sum_->WouldOverflow(h)) {
      incremental_ = true;
      sum_->Scale(1 / (count_ - 1));
    }
    if (incremental_) {
      sum_->Scale((count_ - 1) / count_);
      outcome = sum_->Add(Divided(h, count_));
    } else {
      outcome = sum_->Add(h);
    }
    incompatible_ = outcome.incompatible;
    reconciled_ = reconciled_ || outcome.bounds_reconciled;
  }

  bool empty() const { return !sum_.has_value(); }
  bool incompatible() const { return incompatible_; }
  bool reset_collision() const { return reset_seen_ && not_reset_seen_; }
  bool bounds_reconciled() const { return reconciled_; }
  /// REQUIRES: not empty().
  FloatHistogram Result(Kind kind) const {
    return sum_->Result(kind == Kind::kMean && !incremental_ ? count_ : 1);
  }

 private:
  std::optional<HistogramSum> sum_;
  double count_ = 0;
  bool incremental_ = false;  ///< sum_ is the mean so far
  bool incompatible_ = false;
  bool reset_seen_ = false;
  bool not_reset_seen_ = false;
  bool reconciled_ = false;
};

}  // namespace varve::promql
