#include "query/duration.h"

#include <algorithm>
#include <cmath>

#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// Beyond this many seconds nanoseconds overflow an int64, which is where
/// Prometheus draws the line.
constexpr double kSecondsMax = 9.2e9;

absl::StatusOr<double> Seconds(const DurationExpr& e,
                               const DurationContext& context) {
  double lhs = 0;
  double rhs = 0;
  if (e.lhs != nullptr) {
    VARVE_ASSIGN_OR_RETURN(lhs, Seconds(*e.lhs, context));
  }
  if (e.rhs != nullptr) {
    VARVE_ASSIGN_OR_RETURN(rhs, Seconds(*e.rhs, context));
  }
  switch (e.kind) {
    case DurationExpr::Kind::kLiteral:
      return e.value;
    case DurationExpr::Kind::kStep:
      return context.step_seconds;
    case DurationExpr::Kind::kRange:
      return context.range_seconds;
    case DurationExpr::Kind::kMinOf:
      return std::min(lhs, rhs);
    case DurationExpr::Kind::kMaxOf:
      return std::max(lhs, rhs);
    case DurationExpr::Kind::kNegate:
      return -rhs;
    case DurationExpr::Kind::kAdd:
      return lhs + rhs;
    case DurationExpr::Kind::kSub:
      return lhs - rhs;
    case DurationExpr::Kind::kMul:
      return lhs * rhs;
    case DurationExpr::Kind::kDiv:
      if (rhs == 0) return InvalidArgument("division by zero");
      return lhs / rhs;
    case DurationExpr::Kind::kMod:
      if (rhs == 0) return InvalidArgument("modulo by zero");
      return std::fmod(lhs, rhs);
    case DurationExpr::Kind::kPow:
      return std::pow(lhs, rhs);
  }
  VARVE_CHECK(false);
}

}  // namespace

absl::StatusOr<int64_t> EvaluateDuration(const DurationExpr& expr,
                                         const DurationContext& context,
                                         bool negative_allowed) {
  VARVE_ASSIGN_OR_RETURN(const double seconds, Seconds(expr, context));
  if (!(std::abs(seconds) <= kSecondsMax)) {
    return InvalidArgument("duration is out of range");
  }
  if (seconds <= 0 && !negative_allowed) {
    return InvalidArgument("duration must be greater than 0");
  }
  return static_cast<int64_t>(seconds * 1000);
}

}  // namespace varve::promql
