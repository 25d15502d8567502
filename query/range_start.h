#pragma once

#include <cstdint>
#include <span>

#include "query/range_functions.h"

// Start timestamps: when a sample's counter began at zero, where that is known.

namespace varve::promql {

/// Does the start timestamp of sample i say that the counter began anew after
/// sample i - 1? `starts` may be empty.
bool IsStartReset(std::span<const int64_t> starts,
                  std::span<const int64_t> times, size_t i);

/// Did the counter begin inside the window, before its first sample? Then it is
/// known to have been zero at starts[0], and nothing is to be guessed.
bool BeginsInside(std::span<const int64_t> starts,
                  std::span<const int64_t> times, const Window& window);

/// For a window that BeginsInside: from the start on, no extrapolation to the
/// left, and to the right as by the samples alone.
WindowPlan::Extrapolation ExtrapolateFromStart(int64_t counter_start_ms,
                                               std::span<const int64_t> times,
                                               const Window& window);

/// Warns of a counter that is said to have begun before its previous sample,
/// and not when that one began.
void RemarkStartOverlap(const RangeCall& call, const Window& window,
                        std::span<const int64_t> starts,
                        std::span<const int64_t> times);

}  // namespace varve::promql
