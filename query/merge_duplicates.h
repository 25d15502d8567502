#pragma once

#include "query/operator.h"

namespace varve::promql {

enum class Duplicates : uint8_t {
  kMerge,   ///< one series, unless two have a point at the same step
  kForbid,  ///< an error as soon as two have points at all
};

/// Makes the label sets of `input` unique after a change of labels. Series
/// whose labels are unique stream through; the others are held in memory. The
/// error is FailedPrecondition with Prometheus's text.
OperatorPtr MakeMergeDuplicates(OperatorPtr input, EvalContext& context,
                                Duplicates mode);

/// The same for series that are about to lose their metric names for good: the
/// labels of series marked drop_name are cut first.
OperatorPtr MakeNameRemoval(OperatorPtr input, EvalContext& context);

}  // namespace varve::promql
