#pragma once

#include "query/histogram_arithmetic.h"
#include "query/range_functions.h"

namespace varve::promql {

// Range functions of `anchored` and `smoothed` selectors. Both also see samples
// outside the window: anchored the last one before it, so that an increase is
// what the samples say and not extrapolated; smoothed the next one on either
// side, and interpolates at the window's edges.

/// Cuts a window that was read with its extension down to the samples in it and
/// the next ones outside. False if it has nothing to say.
bool NarrowWindow(Extension extension, Window* window);

/// The value at `t` on the line through two points.
inline double Interpolate(int64_t t1, double y1, int64_t t2, double y2,
                          int64_t t) {
  return y1 +
         (y2 - y1) * static_cast<double>(t - t1) / static_cast<double>(t2 - t1);
}

enum class ExtendedKind : uint8_t { kRate, kIncrease, kDelta };

/// rate, increase or delta of a narrowed window.
absl::Status ExtendedRate(ExtendedKind kind, const RangeCall& call,
                          const Window& window, size_t step, Row* out);

}  // namespace varve::promql
