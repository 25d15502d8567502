#pragma once

#include "query/range_functions.h"

namespace varve::promql {

// Range functions of native histograms; the float side is in range_rate.cc.

/// Remarks on histograms that are not what the function is for.
void RemarkHistogramKind(const RangeCall& call, const Window& window,
                         bool counter);

/// rate, increase (counter) and delta of a window of at least two histograms
/// (or one of a counter that BeginsInside) and no floats; divided by `seconds`.
void HistogramRate(const RangeCall& call, const Window& window, bool counter,
                   double seconds, size_t step, Row* out);

/// irate (counter) and idelta of two histograms. `starts_anew`: the start
/// timestamps say that the counter was reset between them.
void HistogramInstantRate(const RangeCall& call, const Window& window,
                          const FloatHistogram& older,
                          const FloatHistogram& newer, double seconds,
                          bool counter, bool starts_anew, size_t step,
                          Row* out);

}  // namespace varve::promql
