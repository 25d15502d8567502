#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "query/ast.h"
#include "query/explanation.h"
#include "storage/histogram.h"
#include "storage/labels.h"

namespace varve::promql {

/// One result sample: a float unless `histogram` is set.
struct ResultPoint {
  int64_t timestamp_ms = 0;
  double value = 0;
};
struct ResultHistogram {
  int64_t timestamp_ms = 0;
  std::shared_ptr<const FloatHistogram> histogram;
};

/// A series of a result. Floats and histograms each ascend in time and never
/// share a timestamp. A vector's series hold exactly one point in all.
struct ResultSeries {
  Labels labels;
  std::vector<ResultPoint> floats;
  std::vector<ResultHistogram> histograms;
};

/// The answer to a query, in the shape that the HTTP API gives:
/// scalar -> `scalar`, string -> `string`, vector and matrix -> `series`.
struct QueryResult {
  ValueType type = ValueType::kNone;
  ResultPoint scalar;
  std::string string;
  int64_t string_ms = 0;
  /// Vector: in the order of the answer. Matrix: sorted by labels.Compare.
  std::vector<ResultSeries> series;

  /// Texts as Prometheus gives them, with positions; at most 10 of each.
  std::vector<std::string> warnings;
  std::vector<std::string> infos;

  int64_t samples_total = 0;
  int64_t samples_peak = 0;
  /// Null unless it was asked for.
  std::shared_ptr<const Explanation> explanation;
};

}  // namespace varve::promql
