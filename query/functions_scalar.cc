#include <algorithm>
#include <cmath>

#include "query/functions.h"
#include "storage/status_macros.h"

// min_of() and max_of() of two scalars. The scalars that only depend on the
// query (pi(), start(), step() and the like) are numbers in the plan.

namespace varve::promql {
namespace {

/// NaN if either side is.
double Pick(double a, double b, bool greatest) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  return greatest ? std::max(a, b) : std::min(a, b);
}

class ScalarPair final : public Operator {
 public:
  ScalarPair(OperatorCall call, bool greatest)
      : Operator(call.context, call.grid),
        lhs_(std::move(call.arguments[0])),
        rhs_(std::move(call.arguments[1])),
        greatest_(greatest) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    VARVE_ASSIGN_OR_RETURN(std::vector<double> lhs, ReadScalar(*lhs_));
    VARVE_ASSIGN_OR_RETURN(const std::vector<double> rhs, ReadScalar(*rhs_));
    row->series = 0;
    row->histograms.clear();
    for (size_t i = 0; i < lhs.size(); ++i) {
      lhs[i] = Pick(lhs[i], rhs[i], greatest_);
    }
    row->values = std::move(lhs);
    return true;
  }

 private:
  const OperatorPtr lhs_;
  const OperatorPtr rhs_;
  const bool greatest_;
  const std::vector<SeriesInfo> series_{SeriesInfo{}};
  bool done_ = false;
};

template <bool kGreatest>
absl::StatusOr<OperatorPtr> Make(OperatorCall call) {
  return std::make_unique<ScalarPair>(std::move(call), kGreatest);
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "max_of", .make = Make<true>},
    {.name = "min_of", .make = Make<false>},
};

}  // namespace

std::span<const FunctionImpl> ScalarFunctions() { return kFunctions; }

}  // namespace varve::promql
