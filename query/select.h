#pragma once

#include <memory>
#include <string>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// The series that a selector finds, and how to read each: all of them at once,
/// or some at a time. Used by the operators that read series. Single-thread.
class Selection {
 public:
  /// Samples are wanted in (window_ms before the first step, the last step], as
  /// the node's anchor shifts and its extension widens them. The arguments
  /// outlive the selection.
  Selection(EvalContext& context, const VectorSelector& selector,
            const PlanNode& node, const StepGrid& grid, int64_t window_ms)
      : context_(context),
        selector_(selector),
        node_(node),
        grid_(grid),
        window_ms_(window_ms) {}
  ~Selection() { context_.query.ReleaseBytes(charged_); }
  Selection(const Selection&) = delete;
  Selection& operator=(const Selection&) = delete;

  /// See Operator::SetBatches.
  bool SetBatches(const Batching& batching);
  /// Asks the source, or goes on to the next batch (an empty one is the last).
  /// The caller may change the labels.
  absl::StatusOr<std::vector<SeriesInfo>*> Read();
  /// A cursor over the next series of the batch, and its place there; null
  /// after the last one.
  std::unique_ptr<SeriesCursor> NextCursor(uint32_t* series);

 private:
  SelectHints Hints() const;
  /// Whether all series have the same metric name.
  bool HasOneName() const;
  absl::Status Add(SeriesSet& set);

  EvalContext& context_;
  const VectorSelector& selector_;
  const PlanNode& node_;
  const StepGrid grid_;
  const int64_t window_ms_;
  bool batched_ = false;
  Batching batching_;
  std::vector<std::string> labels_;  ///< wanted of each series, if projected
  bool started_ = false;
  std::unique_ptr<SeriesSet> set_;  ///< null: there are no more
  std::vector<SeriesInfo> infos_;
  std::vector<std::unique_ptr<SeriesCursor>> cursors_;
  size_t next_ = 0;
  int64_t charged_ = 0;
};

}  // namespace varve::promql
