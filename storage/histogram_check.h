#pragma once

#include <absl/status/status.h>

#include "storage/histogram.h"

namespace varve {

/// The resolutions of exponential buckets.
inline constexpr int32_t kExponentialSchemaMin = -4;
inline constexpr int32_t kExponentialSchemaMax = 8;

/// Whether a histogram from outside is consistent, by Prometheus's rules: a
/// known schema, spans that name exactly the buckets there are, counts that are
/// not negative and (of integers) add up, custom bounds finite, ascending and
/// only with their schema. Besides, the index of every bucket and of its
/// neighbours must fit an int32, so that nobody after this has to care.
///
/// InvalidArgument says what is wrong, as a sentence about "the histogram".
absl::Status CheckHistogram(const IntHistogram& histogram);
absl::Status CheckHistogram(const FloatHistogram& histogram);

bool IsValidHistogram(const Histogram& histogram);

}  // namespace varve
