#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "query/ast.h"

namespace varve::promql {

/// Warnings and infos that a query collects while it runs, with the place in
/// the query text that each is about. The same text is kept once, at the place
/// where it came up first. Single-thread.
///
/// The named methods hold the wording, so that it stands in one place; a
/// function that needs another one adds it here.
class Annotations {
 public:
  explicit Annotations(std::string_view query) : query_(query) {}

  /// `text` without the prefix "PromQL warning: " and without the position.
  void Warn(std::string_view text, PositionRange position) {
    Add("warning", text, position, &warnings_);
  }
  void Info(std::string_view text, PositionRange position) {
    Add("info", text, position, &infos_);
  }

  void InvalidQuantile(double q, PositionRange position);
  void InvalidRatio(double ratio, double capped, PositionRange position);
  void BadBucketLabel(std::string_view metric, std::string_view value,
                      PositionRange position);
  void MixedFloatsHistograms(std::string_view metric, PositionRange position);
  void MixedFloatsHistogramsInAggregation(PositionRange position);
  void MixedClassicNative(std::string_view metric, PositionRange position);
  void NotCounter(std::string_view metric, PositionRange position);
  void NotGauge(std::string_view metric, PositionRange position);
  /// A counter is said to have begun before its previous sample.
  void StartOverlap(std::string_view metric, PositionRange position);
  void MixedExponentialCustom(std::string_view metric, PositionRange position);
  void IncompatibleBuckets(std::string_view op, PositionRange position);
  /// `operation`: "addition", "subtraction" or "aggregation".
  void CounterResetCollision(std::string_view operation,
                             PositionRange position);

  void PossibleNonCounter(std::string_view metric, PositionRange position);
  /// What had to be lifted in a classic histogram. Remarks about the same
  /// metric become one that covers all of them.
  struct Lifted {
    int64_t timestamp_ms = 0;
    double bucket_min = 0;
    double bucket_max = 0;
    double difference_max = 0;
  };
  void ForcedMonotonicity(std::string_view metric, const Lifted& lifted,
                          PositionRange position);
  void NanObservationsInQuantile(std::string_view metric, bool result_is_nan,
                                 PositionRange position);
  void NanObservationsInFraction(std::string_view metric,
                                 PositionRange position);
  void IncompatibleTypes(std::string_view lhs, std::string_view op,
                         std::string_view rhs, PositionRange position);
  void HistogramIgnored(std::string_view aggregation, PositionRange position);
  void HistogramIgnoredInRange(std::string_view metric, PositionRange position);
  void CustomBucketsReconciled(std::string_view operation,
                               PositionRange position);

  /// The texts to show, in the order of their first appearance: at most
  /// kShownMax of each and then one that says how many more there are.
  std::vector<std::string> Warnings() const;
  std::vector<std::string> Infos() const;

 private:
  static constexpr size_t kShownMax = 10;
  /// Kept at most, so that a query cannot fill the memory with remarks.
  static constexpr size_t kKeptMax = 1000;

  struct Merged {
    Lifted lifted;
    int64_t timestamp_max_ms = 0;
    int64_t count = 0;
  };
  struct Entry {
    std::string text;
    PositionRange position;
    Merged merged;  ///< count 0: not of that kind
  };

  void Add(std::string_view kind, std::string_view text, PositionRange position,
           std::vector<Entry>* list);
  std::vector<std::string> Shown(const std::vector<Entry>& list,
                                 std::string_view kind) const;

  const std::string query_;
  std::vector<Entry> warnings_;
  std::vector<Entry> infos_;
};

}  // namespace varve::promql
