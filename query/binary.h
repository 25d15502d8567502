#pragma once

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

/// One element of a binary operation: a float, or a histogram if that is set.
struct Operand {
  double value = 0;
  const HistogramPtr* histogram = nullptr;

  static Operand Of(const Row& row, size_t step) {
    return {row.values[step],
            row.HasHistogram(step) ? &row.histograms[step] : nullptr};
  }
};

/// What comes out: nothing (`valid` false), or a value and whether a comparison
/// holds (true for arithmetic). A comparison's value is the left operand.
struct ElementResult {
  bool valid = true;
  bool keep = true;
  double value = 0;
  HistogramPtr histogram;
};

/// Any of the operators between vectors but the set operators, on floats.
ElementResult FloatElement(BinaryOp op, double lhs, double rhs);

/// The same with histograms on either side; remarks go to the annotations.
absl::StatusOr<ElementResult> Element(const BinaryExpr& expr,
                                      EvalContext& context, const Operand& lhs,
                                      const Operand& rhs);

/// Do the operator's results lose the metric name? (Arithmetic does.)
bool ChangesMetric(BinaryOp op);

/// The operator of a kBinary node over its two sides.
absl::StatusOr<OperatorPtr> MakeBinary(const PlanNode& node,
                                       EvalContext& context, OperatorPtr lhs,
                                       OperatorPtr rhs);
/// Unary minus.
OperatorPtr MakeNegate(EvalContext& context, bool scalar, OperatorPtr input);

// The parts of MakeBinary.
OperatorPtr MakeVectorBinary(const PlanNode& node, EvalContext& context,
                             OperatorPtr lhs, OperatorPtr rhs);
OperatorPtr MakeSetOperator(const PlanNode& node, EvalContext& context,
                            OperatorPtr lhs, OperatorPtr rhs);

}  // namespace varve::promql
