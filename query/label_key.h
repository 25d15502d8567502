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
    Pick(labels, &kept);
    return Labels::FromSorted(kept);
  }
  /// The same as views into `labels`; replaces `kept`.
  void Pick(const Labels& labels, std::vector<LabelView>* kept) const {
    kept->clear();
    for (const LabelView& label : labels) {
      if (only_ && kept->size() == names_.size()) return;
      const bool named =
          std::binary_search(names_.begin(), names_.end(), label.name);
      if (named == only_) kept->push_back(label);
    }
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
