#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "storage/labels.h"

namespace varve::promql {

/// Picks part of a label set: for grouping and for vector matching.
class LabelSubset {
 public:
  /// Keeps only `names`.
  static LabelSubset Only(std::vector<std::string> names) {
    return LabelSubset(std::move(names), true);
  }
  /// Keeps all but `names` and the metric name.
  static LabelSubset Without(std::vector<std::string> names) {
    names.emplace_back(kMetricName);
    return LabelSubset(std::move(names), false);
  }

  Labels Of(const Labels& labels) const {
    std::vector<LabelView> kept;
    for (const LabelView& label : labels) {
      const bool named =
          std::binary_search(names_.begin(), names_.end(), label.name);
      if (named == only_) kept.push_back(label);
    }
    return Labels::FromSorted(kept);
  }

 private:
  LabelSubset(std::vector<std::string> names, bool only)
      : names_(std::move(names)), only_(only) {
    std::sort(names_.begin(), names_.end());
  }

  std::vector<std::string> names_;
  bool only_;
};

}  // namespace varve::promql
