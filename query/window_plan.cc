#include "query/window_plan.h"

namespace varve::promql {

void PlanWindows(std::span<const int64_t> times, const PlanNode& range,
                 const StepGrid& grid, WindowPlan* plan) {
  plan->begin.resize(static_cast<size_t>(grid.count));
  plan->end.resize(static_cast<size_t>(grid.count));
  plan->extrapolation.clear();
  uint32_t begin = 0;
  uint32_t end = 0;
  const auto size = static_cast<uint32_t>(times.size());
  for (size_t step = 0; step < plan->begin.size(); ++step) {
    const int64_t at =
        range.anchor.Resolve(grid.At(static_cast<int64_t>(step)));
    const int64_t last = at + range.after_ms;
    const int64_t after = at - range.range_ms - range.before_ms;
    while (end < size && times[end] <= last) ++end;
    while (begin < end && times[begin] <= after) ++begin;
    plan->begin[step] = begin;
    plan->end[step] = end;
  }
}

WindowPlan::Extrapolation Extrapolate(int64_t first_ms, int64_t last_ms,
                                      size_t count, int64_t start_ms,
                                      int64_t end_ms) {
  WindowPlan::Extrapolation e;
  e.to_start = static_cast<double>(first_ms - start_ms) / 1000;
  e.to_end = static_cast<double>(end_ms - last_ms) / 1000;
  e.sampled = static_cast<double>(last_ms - first_ms) / 1000;
  const double interval = e.sampled / static_cast<double>(count - 1);
  // A gap of more than a tenth over the usual interval means that the series
  // begins or ends inside the window: then only half an interval is guessed.
  const double threshold = interval * 1.1;
  if (e.to_start >= threshold) e.to_start = interval / 2;
  if (e.to_end >= threshold) e.to_end = interval / 2;
  e.factor = (e.sampled + e.to_start + e.to_end) / e.sampled;
  return e;
}

void PlanExtrapolation(std::span<const int64_t> times, const PlanNode& range,
                       const StepGrid& grid, WindowPlan* plan) {
  plan->extrapolation.assign(plan->begin.size(), {});
  for (size_t step = 0; step < plan->begin.size(); ++step) {
    if (plan->count(step) < 2) continue;
    const int64_t end =
        range.anchor.Resolve(grid.At(static_cast<int64_t>(step)));
    plan->extrapolation[step] =
        Extrapolate(times[plan->begin[step]], times[plan->end[step] - 1],
                    plan->count(step), end - range.range_ms, end);
  }
}

}  // namespace varve::promql
