#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// What range functions need to know of a timestamp column and a grid, apart
/// from the values: where each step's window begins and ends, and how far a
/// rate is extrapolated. Computed once per column and shared by all series that
/// have it, since it costs more than the function itself.
struct WindowPlan {
  /// Per step: the samples [begin, end) lie in (t - range, t], or in the
  /// extension of that.
  std::vector<uint32_t> begin;
  std::vector<uint32_t> end;

  /// For rate, increase and delta; meaningful where a window holds at least
  /// two samples. Seconds.
  struct Extrapolation {
    double sampled = 0;   ///< from the first to the last sample
    double to_start = 0;  ///< how far to extrapolate below the first one
    double to_end = 0;
    double factor = 0;  ///< (sampled + to_start + to_end) / sampled
  };
  std::vector<Extrapolation> extrapolation;

  size_t count(size_t step) const { return end[step] - begin[step]; }
};

/// The seconds of a range, as Prometheus rounds them.
inline double RangeSeconds(int64_t range_ms) {
  return static_cast<double>(range_ms / 1000) +
         static_cast<double>(range_ms % 1000 * 1'000'000) / 1e9;
}

/// REQUIRES: `times` ascends, and fewer than 2^32 of them.
void PlanWindows(std::span<const int64_t> times, const PlanNode& range,
                 const StepGrid& grid, WindowPlan* plan);

/// Extrapolation of one window whose first and last of `count` >= 2 samples are
/// given.
WindowPlan::Extrapolation Extrapolate(int64_t first_ms, int64_t last_ms,
                                      size_t count, int64_t start_ms,
                                      int64_t end_ms);

/// Fills plan->extrapolation. REQUIRES: PlanWindows.
void PlanExtrapolation(std::span<const int64_t> times, const PlanNode& range,
                       const StepGrid& grid, WindowPlan* plan);

}  // namespace varve::promql
