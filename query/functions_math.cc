#include <algorithm>
#include <cmath>
#include <numbers>

#include "query/functions.h"

// Functions of one number: arithmetic, trigonometry, clamp*, round.

namespace varve::promql {
namespace {

/// Applies F to every float of the row; histograms are already gone.
template <double (*F)(double)>
absl::Status Map(const FunctionCall&, Row* row) {
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (row->HasFloat(i)) row->values[i] = F(row->values[i]);
  }
  return absl::OkStatus();
}

double Sign(double v) { return v < 0 ? -1 : v > 0 ? 1 : v; }
double Degrees(double v) { return v * 180 / std::numbers::pi; }
double Radians(double v) { return v * std::numbers::pi / 180; }

/// Go's math.Max: NaN wins, except against the infinity that wins over all.
double Greater(double a, double b) {
  if (std::isinf(a) && a > 0) return a;
  if (std::isinf(b) && b > 0) return b;
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  return std::max(a, b);
}
double Less(double a, double b) { return -Greater(-a, -b); }

// Nothing fits a range whose ends are swapped.
absl::Status Clamp(const FunctionCall& call, Row* row) {
  const auto& low = call.scalars[1];
  const auto& high = call.scalars[2];
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (high[i] < low[i]) {
      row->Remove(i);
    } else if (row->HasFloat(i)) {
      row->values[i] = Greater(low[i], Less(high[i], row->values[i]));
    }
  }
  return absl::OkStatus();
}

absl::Status ClampMax(const FunctionCall& call, Row* row) {
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (!row->HasFloat(i)) continue;
    row->values[i] = Less(call.scalars[1][i], row->values[i]);
  }
  return absl::OkStatus();
}

absl::Status ClampMin(const FunctionCall& call, Row* row) {
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (!row->HasFloat(i)) continue;
    row->values[i] = Greater(call.scalars[1][i], row->values[i]);
  }
  return absl::OkStatus();
}

// Halves go up. Dividing by the inverse keeps 0.1 and the like exact.
absl::Status Round(const FunctionCall& call, Row* row) {
  const bool nearest = call.scalars.size() > 1;
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (!row->HasFloat(i)) continue;
    const double inverse = nearest ? 1 / call.scalars[1][i] : 1;
    row->values[i] = std::floor(row->values[i] * inverse + 0.5) / inverse;
  }
  return absl::OkStatus();
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "abs", .row = Map<::fabs>},
    {.name = "acos", .row = Map<::acos>},
    {.name = "acosh", .row = Map<::acosh>},
    {.name = "asin", .row = Map<::asin>},
    {.name = "asinh", .row = Map<::asinh>},
    {.name = "atan", .row = Map<::atan>},
    {.name = "atanh", .row = Map<::atanh>},
    {.name = "ceil", .row = Map<::ceil>},
    {.name = "clamp", .row = Clamp},
    {.name = "clamp_max", .row = ClampMax},
    {.name = "clamp_min", .row = ClampMin},
    {.name = "cos", .row = Map<::cos>},
    {.name = "cosh", .row = Map<::cosh>},
    {.name = "deg", .row = Map<Degrees>},
    {.name = "exp", .row = Map<::exp>},
    {.name = "floor", .row = Map<::floor>},
    {.name = "ln", .row = Map<::log>},
    {.name = "log10", .row = Map<::log10>},
    {.name = "log2", .row = Map<::log2>},
    {.name = "rad", .row = Map<Radians>},
    {.name = "round", .row = Round},
    {.name = "sgn", .row = Map<Sign>},
    {.name = "sin", .row = Map<::sin>},
    {.name = "sinh", .row = Map<::sinh>},
    {.name = "sqrt", .row = Map<::sqrt>},
    {.name = "tan", .row = Map<::tan>},
    {.name = "tanh", .row = Map<::tanh>},
};

}  // namespace

std::span<const FunctionImpl> MathFunctions() { return kFunctions; }

}  // namespace varve::promql
