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

double Quantile(double q, std::vector<double>* values) {
  if (values->empty() || std::isnan(q)) {
    return std::bit_cast<double>(kNormalNanBits);
  }
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  SortValues(values);
  const auto n = static_cast<double>(values->size());
  const double rank = q * (n - 1);
  const double lower = std::max(0.0, std::floor(rank));
  const double upper = std::min(n - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  return (*values)[static_cast<size_t>(lower)] * (1 - weight) +
         (*values)[static_cast<size_t>(upper)] * weight;
}

}  // namespace varve::promql
