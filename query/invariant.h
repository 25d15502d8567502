#pragma once

#include "query/operator.h"

namespace varve::promql {

/// Repeats an operator of one step at every step of `grid`.
OperatorPtr MakeInvariant(EvalContext& context, const StepGrid& grid,
                          OperatorPtr input);

/// A number at every step.
OperatorPtr MakeConstant(double value, EvalContext& context,
                         const StepGrid& grid);

}  // namespace varve::promql
