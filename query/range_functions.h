#pragma once

#include <absl/status/status.h>

#include <span>
#include <string_view>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"
#include "query/range_input.h"
#include "query/window_plan.h"

namespace varve::promql {

/// A call of a range function, as its kernels see it.
struct RangeCall {
  const PlanNode& node;   ///< the call
  const PlanNode& range;  ///< its range vector argument
  EvalContext& context;
  const StepGrid& grid;
  /// Values of the scalar arguments, one per step, indexed as the arguments are
  /// written; empty at the place of the range vector.
  std::span<const std::vector<double>> scalars;

  std::string_view name() const { return As<Call>(*node.expr).function->name; }
  /// Where annotations about the range vector point to.
  PositionRange position() const {
    return ArgumentPosition(node, &range == node.inputs[0].get() ? 0 : 1);
  }
};

/// The samples of one series in one window; views into a RangeSeries.
struct Window {
  std::span<const int64_t> times;
  std::span<const double> values;
  std::span<const int64_t> starts;  ///< empty if no start time is known
  std::span<const int64_t> histogram_times;
  std::span<const HistogramPtr> histograms;
  std::span<const int64_t> histogram_starts;
  int64_t start_ms = 0;  ///< exclusive
  int64_t end_ms = 0;    ///< inclusive
  /// Of the series; "" if there is none.
  std::string_view metric;
};

/// Computes one step: sets a float or a histogram in `out` or leaves the step
/// absent. Called for windows with at least one sample, in ascending order.
using WindowKernel = absl::Status (*)(const RangeCall& call,
                                      const Window& window, size_t step,
                                      Row* out);

/// A kernel whose work grows with the windows' samples looks at the query's
/// context after so many of them, some milliseconds' worth, and stops early
/// when the query has to end.
inline constexpr size_t kSamplesPerCheck = 200'000;

/// Computes all steps of a series that has floats only and no start times;
/// exactly what the window kernel would give, only faster. `plan` belongs to
/// series.times, with extrapolation if the function asks for it.
using SeriesKernel = void (*)(const RangeCall& call, const WindowPlan& plan,
                              const RangeSeries& series, Row* out);

/// One function that takes a range vector.
struct RangeFunction {
  std::string_view name;
  WindowKernel window = nullptr;
  SeriesKernel series = nullptr;
  bool keeps_name = false;
  bool extrapolates = false;  ///< the series kernel needs the extrapolation
  /// For anchored and smoothed selectors; gets windows as NarrowWindow leaves
  /// them. Null where these make no sense.
  WindowKernel extended = nullptr;
  bool smooths = false;  ///< `extended` is for smoothed selectors, too
};

/// nullptr when there is no such function (yet).
const RangeFunction* FindRangeFunction(std::string_view name);

// One table per file.
std::span<const RangeFunction> RateFunctions();      // range_rate.cc
std::span<const RangeFunction> OverTimeFunctions();  // range_over_time.cc

/// The operator of a call to a range function, absent_over_time included.
absl::StatusOr<OperatorPtr> MakeRangeCall(const PlanNode& node,
                                          EvalContext& context,
                                          const StepGrid& grid);

}  // namespace varve::promql
