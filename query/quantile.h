#pragma once

#include <vector>

namespace varve::promql {

/// Sorts with NaN before every number.
void SortValues(std::vector<double>* values);

/// The q-quantile by linear interpolation; sorts `values`. NaN for no values or
/// a NaN q, -Inf below 0 and +Inf above 1.
double Quantile(double q, std::vector<double>* values);

}  // namespace varve::promql
