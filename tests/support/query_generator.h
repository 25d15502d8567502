#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/random_series.h"

namespace varve::promql {

struct QueryGeneratorOptions {
  /// Nesting, at most.
  int depth = 3;
  /// Native histograms among the metrics, and functions of them.
  bool native = true;
  /// What Prometheus 2.42 does not know: functions, operators and modifiers.
  bool modern = true;
  /// The time of `@`, in seconds.
  int64_t at_s = 900;
  /// Aggregations whose choice depends on the order of equal input.
  bool ordered = true;
};

/// Random queries that are well typed, over the series of AddRandomSeries.
/// Equal seeds and options give equal texts. Single-thread.
class QueryGenerator {
 public:
  QueryGenerator(uint64_t seed, QueryGeneratorOptions options)
      : random_(seed), options_(options) {}

  /// An instant vector or a scalar.
  std::string Next();

 private:
  std::string Pick(const std::vector<std::string_view>& choices);
  std::string Vector(int depth);
  std::string Scalar(int depth);
  std::string Matrix(int depth);
  std::string Metric();
  std::string Matchers();
  std::string Selector();
  std::string Shift();
  std::string Duration();
  std::string Number();
  std::string LabelList();
  std::string Aggregation(int depth);
  std::string Binary(int depth);
  std::string MatchedBinary(int depth);
  std::string RangeCall(int depth);
  std::string VectorCall(int depth);
  std::string LabelCall(int depth);
  std::string HistogramCall(int depth);

  RandomNumbers random_;
  const QueryGeneratorOptions options_;
};

}  // namespace varve::promql
