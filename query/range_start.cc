#include "query/range_start.h"

#include "query/annotations.h"
#include "storage/sample.h"

namespace varve::promql {

bool IsStartReset(std::span<const int64_t> starts,
                  std::span<const int64_t> times, size_t i) {
  if (starts.empty()) return false;
  const int64_t start = starts[i];
  if (start == kNoStartTimestamp || start >= times[i]) return false;
  if (start != times[i - 1]) return start > times[i - 1];
  // It points at the previous sample: a delta series, unless the start of that
  // one is not known, either.
  return starts[i - 1] != kNoStartTimestamp && starts[i - 1] < times[i - 1];
}

bool BeginsInside(std::span<const int64_t> starts,
                  std::span<const int64_t> times, const Window& window) {
  return !starts.empty() && starts[0] != kNoStartTimestamp &&
         starts[0] > window.start_ms && starts[0] < times[0];
}

WindowPlan::Extrapolation ExtrapolateFromStart(int64_t counter_start_ms,
                                               std::span<const int64_t> times,
                                               const Window& window) {
  WindowPlan::Extrapolation e;
  e.sampled = static_cast<double>(times.back() - counter_start_ms) / 1000;
  if (times.size() > 1) {
    e.to_end = Extrapolate(times.front(), times.back(), times.size(),
                           window.start_ms, window.end_ms)
                   .to_end;
  }
  e.factor = (e.sampled + e.to_end) / e.sampled;
  return e;
}

void RemarkStartOverlap(const RangeCall& call, const Window& window,
                        std::span<const int64_t> starts,
                        std::span<const int64_t> times) {
  for (size_t i = 1; i < starts.size(); ++i) {
    const bool known =
        starts[i] != kNoStartTimestamp && starts[i - 1] != kNoStartTimestamp;
    if (!known || starts[i] >= times[i - 1] || starts[i] == starts[i - 1]) {
      continue;
    }
    call.context.annotations.StartOverlap(window.metric, call.position());
    return;
  }
}

}  // namespace varve::promql
