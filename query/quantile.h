#pragma once

#include <cstddef>
#include <vector>

namespace varve::promql {

/// Where the q-quantile of `count` sorted values stands: between two of them.
struct QuantileRank {
  size_t lower = 0;
  size_t upper = 0;
  double weight = 0;  ///< of the upper one

  double Between(double at_lower, double at_upper) const {
    return at_lower * (1 - weight) + at_upper * weight;
  }
};
/// REQUIRES: count > 0, 0 <= q <= 1.
QuantileRank RankOf(double q, size_t count);
/// The quantile that no values are needed for: NaN for a NaN q, -Inf below 0
/// and +Inf above 1; false when there is none such.
bool IsFixedQuantile(double q, double* value);

/// Sorts with NaN before every number.
void SortValues(std::vector<double>* values);

/// The q-quantile by linear interpolation; sorts `values`. NaN for no values or
/// a NaN q, -Inf below 0 and +Inf above 1.
double Quantile(double q, std::vector<double>* values);

}  // namespace varve::promql
