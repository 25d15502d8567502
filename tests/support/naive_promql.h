#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "query/ast.h"
#include "query/engine.h"
#include "tests/support/map_source.h"
#include "tests/support/naive_histogram.h"

namespace varve::promql {

/// A series' value at one time.
struct NaivePoint {
  Labels labels;
  double value = 0;
  std::shared_ptr<const NaiveHistogram> histogram;  ///< null: a float
};
using NaiveVector = std::vector<NaivePoint>;

/// The samples of one series in a window, in order of time.
struct NaiveWindow {
  struct Sample {
    int64_t t = 0;
    double value = 0;
    std::shared_ptr<const NaiveHistogram> histogram;
  };
  Labels labels;
  std::vector<Sample> samples;
  int64_t start_ms = 0;  ///< excluded
  int64_t end_ms = 0;
};

/// PromQL as one would write it down: one expression at one time, sample by
/// sample, everything looked up anew. The twin of the engine, with which it
/// shares the syntax tree only. Errors: FailedPrecondition where the query
/// fails; Unimplemented where it does not know or nobody could: histograms in
/// functions that it does not cover, ties at the k-th place of topk.
class NaiveEvaluator {
 public:
  /// Both must outlive this. Subqueries without a step take subquery_step_ms.
  NaiveEvaluator(const MapSource& source, const QueryParameters& parameters,
                 int64_t subquery_step_ms)
      : source_(source),
        parameters_(parameters),
        lookback_ms_(parameters.lookback_ms > 0 ? parameters.lookback_ms
                                                : 300'000),
        subquery_step_ms_(subquery_step_ms) {}

  /// A scalar is a vector of one point without labels.
  absl::StatusOr<NaiveVector> At(const Expr& expr, int64_t t) const;

 private:
  absl::StatusOr<double> ScalarAt(const Expr& expr, int64_t t) const;
  int64_t Shifted(const TimeShift& shift, int64_t t) const;
  NaiveVector Selector(const VectorSelector& selector, int64_t t,
                       bool timestamps) const;
  absl::StatusOr<std::vector<NaiveWindow>> Windows(const Expr& expr,
                                                   int64_t t) const;
  absl::StatusOr<std::vector<NaiveWindow>> SubqueryWindows(
      const SubqueryExpr& subquery, int64_t t) const;
  absl::StatusOr<NaiveVector> Function(const Call& call, int64_t t) const;
  absl::StatusOr<NaiveVector> RangeFunction(const Call& call, size_t matrix,
                                            int64_t t) const;
  absl::StatusOr<NaiveVector> Aggregate(const AggregateExpr& aggregate,
                                        int64_t t) const;
  absl::StatusOr<NaiveVector> Binary(const BinaryExpr& binary, int64_t t) const;

  const MapSource& source_;
  const QueryParameters parameters_;
  const int64_t lookback_ms_;
  const int64_t subquery_step_ms_;
};

// The parts, each in a file of its own.

/// A range function over one window: false when it has no value there.
/// `scalars` are the call's scalar arguments in order.
absl::StatusOr<bool> NaiveOverWindow(std::string_view function,
                                     const NaiveWindow& window, int64_t t,
                                     const std::vector<double>& scalars,
                                     NaivePoint* out);
absl::StatusOr<NaiveVector> NaiveAggregate(const AggregateExpr& aggregate,
                                           const NaiveVector& input,
                                           double parameter);
absl::StatusOr<NaiveVector> NaiveVectorBinary(const BinaryExpr& binary,
                                              const NaiveVector& lhs,
                                              const NaiveVector& rhs);
/// Arithmetic or comparison of two points. False: no result.
absl::StatusOr<bool> NaiveElement(BinaryOp op, const NaivePoint& lhs,
                                  const NaivePoint& rhs, NaivePoint* out,
                                  bool* holds);
/// histogram_quantile over classic and native histograms.
absl::StatusOr<NaiveVector> NaiveHistogramQuantile(double q,
                                                   const NaiveVector& input);
double NaiveQuantile(double q, std::vector<double> values);
Labels NaiveWithoutName(const Labels& labels);

/// A sum with Neumaier's compensation, as Prometheus adds.
class NaiveSum {
 public:
  void Add(double v);
  double sum = 0;
  double c = 0;
};
double NaiveMean(const std::vector<double>& values);

}  // namespace varve::promql
