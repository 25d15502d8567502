#pragma once

#include <string>

#include "storage/histogram.h"

namespace varve::promql {

/// A native histogram as Prometheus prints it, for example
/// `{count:5, sum:3.5, [-0.001,0.001]:1, (1,2]:4}`.
std::string HistogramText(const FloatHistogram& h);

}  // namespace varve::promql
