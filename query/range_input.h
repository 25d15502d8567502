#pragma once

#include <memory>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"
#include "query/sample_reader.h"

namespace varve::promql {

/// A range vector: where range functions get their samples from. Used like an
/// Operator. Single-thread.
class RangeInput {
 public:
  virtual ~RangeInput() = default;

  /// As of an Operator.
  virtual bool SetBatches(const Batching&) { return false; }
  virtual absl::StatusOr<const std::vector<SeriesInfo>*> Series() = 0;
  /// The samples of the next series (of the batch); false after the last.
  virtual absl::StatusOr<bool> Next(RangeSeries* out) = 0;
};

/// The input that a node of kind kRange or kSubquery stands for.
absl::StatusOr<std::unique_ptr<RangeInput>> MakeRangeInput(
    const PlanNode& node, EvalContext& context, const StepGrid& grid);

}  // namespace varve::promql
