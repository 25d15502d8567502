#pragma once

#include "storage/histogram.h"

namespace varve {

/// Whether a histogram from outside is consistent, by Prometheus's rules: a
/// known schema, spans that name exactly the buckets there are, counts that add
/// up, custom bounds ascending and only with their schema.
bool IsValidHistogram(const Histogram& histogram);

}  // namespace varve
