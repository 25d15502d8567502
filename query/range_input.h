#pragma once

#include <memory>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// All samples of one series that any window of the grid may hold, floats and
/// histograms apart, each in ascending time order. Stale markers are gone.
struct RangeSeries {
  uint32_t series = 0;
  std::vector<int64_t> times;
  std::vector<double> values;
  /// Start timestamps of the floats, or empty when none is known.
  std::vector<int64_t> starts;
  std::vector<int64_t> histogram_times;
  std::vector<HistogramPtr> histograms;
  std::vector<int64_t> histogram_starts;
  /// Equal non-empty lists within one input mean equal `times`.
  std::vector<uint64_t> times_ids;

  void Clear();
};

/// A range vector: where range functions get their samples from. Used like an
/// Operator. Single-thread.
class RangeInput {
 public:
  virtual ~RangeInput() = default;

  virtual absl::StatusOr<const std::vector<SeriesInfo>*> Series() = 0;
  /// The samples of the next series; false after the last one.
  virtual absl::StatusOr<bool> Next(RangeSeries* out) = 0;
};

/// The input that a node of kind kRange or kSubquery stands for.
absl::StatusOr<std::unique_ptr<RangeInput>> MakeRangeInput(
    const PlanNode& node, EvalContext& context, const StepGrid& grid);

}  // namespace varve::promql
