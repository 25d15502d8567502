#include "query/quantile.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "storage/sample.h"

namespace varve::promql {

void SortValues(std::vector<double>* values) {
  std::sort(values->begin(), values->end(), [](double a, double b) {
    if (std::isnan(a)) return !std::isnan(b);
    return a < b;
  });
}

QuantileRank RankOf(double q, size_t count) {
  const auto n = static_cast<double>(count);
  const double rank = q * (n - 1);
  const double lower = std::max(0.0, std::floor(rank));
  const double upper = std::min(n - 1, lower + 1);
  return {static_cast<size_t>(lower), static_cast<size_t>(upper),
          rank - std::floor(rank)};
}

bool IsFixedQuantile(double q, double* value) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  if (q >= 0 && q <= 1) return false;
  *value = q < 0 ? -kInf : q > 1 ? kInf : std::bit_cast<double>(kNormalNanBits);
  return true;
}

double Quantile(double q, std::vector<double>* values) {
  if (values->empty()) return std::bit_cast<double>(kNormalNanBits);
  double fixed = 0;
  if (IsFixedQuantile(q, &fixed)) return fixed;
  SortValues(values);
  const QuantileRank rank = RankOf(q, values->size());
  return rank.Between((*values)[rank.lower], (*values)[rank.upper]);
}

}  // namespace varve::promql
