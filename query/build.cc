#include "query/aggregate.h"
#include "query/binary.h"
#include "query/explain.h"
#include "query/functions.h"
#include "query/info.h"
#include "query/invariant.h"
#include "query/merge_duplicates.h"
#include "query/plan.h"
#include "query/range_functions.h"
#include "query/scan.h"
#include "query/start_scan.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

absl::StatusOr<OperatorPtr> BuildTimestamp(const PlanNode& node,
                                           EvalContext& context,
                                           const StepGrid& grid) {
  const PlanNode& selector = *node.inputs[0];
  VARVE_ASSIGN_OR_RETURN(
      OperatorPtr op,
      node.kind == PlanKind::kStartTimestamp
          ? MakeStartScan(selector, context, grid)
          : MakeScan(selector, context, grid, ScanValue::kTimestamp));
  if (context.options.delayed_name_removal) return op;
  return MakeMergeDuplicates(std::move(op), context, Duplicates::kMerge);
}

absl::StatusOr<OperatorPtr> BuildFunction(const PlanNode& node,
                                          EvalContext& context,
                                          const StepGrid& grid) {
  OperatorCall call{node, context, grid, {}, {}};
  for (const PlanPtr& input : node.inputs) {
    call.arguments.emplace_back();
    call.strings.emplace_back();
    if (input->type == ValueType::kString) {
      call.strings.back() = As<StringLiteral>(*input->expr).value;
      continue;
    }
    VARVE_ASSIGN_OR_RETURN(call.arguments.back(), Build(*input, context, grid));
  }
  return MakeFunction(std::move(call));
}

absl::StatusOr<OperatorPtr> BuildAggregate(const PlanNode& node,
                                           EvalContext& context,
                                           const StepGrid& grid) {
  const auto& aggregate = As<AggregateExpr>(*node.expr);
  VARVE_ASSIGN_OR_RETURN(OperatorPtr input,
                         Build(*node.inputs[0], context, grid));
  if (aggregate.op == AggregateOp::kCountValues) {
    return MakeCountValues(node, context, std::move(input));
  }
  OperatorPtr parameter;
  if (node.inputs.size() > 1) {
    VARVE_ASSIGN_OR_RETURN(parameter, Build(*node.inputs[1], context, grid));
  }
  switch (aggregate.op) {
    case AggregateOp::kTopk:
    case AggregateOp::kBottomk:
    case AggregateOp::kLimitk:
    case AggregateOp::kLimitRatio:
      return MakeSelection(node, context, std::move(input),
                           std::move(parameter));
    default:
      return MakeAggregate(node, context, std::move(input),
                           std::move(parameter));
  }
}

absl::StatusOr<OperatorPtr> BuildNode(const PlanNode& node,
                                      EvalContext& context,
                                      const StepGrid& grid) {
  switch (node.kind) {
    case PlanKind::kNumber:
      return MakeConstant(node.number, context, grid);
    case PlanKind::kSelector:
      return MakeScan(node, context, grid, ScanValue::kSample);
    case PlanKind::kTimestamp:
    case PlanKind::kStartTimestamp:
      return BuildTimestamp(node, context, grid);
    case PlanKind::kFunction:
      return BuildFunction(node, context, grid);
    case PlanKind::kInfo: {
      VARVE_ASSIGN_OR_RETURN(OperatorPtr base,
                             Build(*node.inputs[0], context, grid));
      return MakeInfo(node, context, std::move(base));
    }
    case PlanKind::kRangeCall:
      return MakeRangeCall(node, context, grid);
    case PlanKind::kAggregate:
      return BuildAggregate(node, context, grid);
    case PlanKind::kBinary: {
      VARVE_ASSIGN_OR_RETURN(OperatorPtr lhs,
                             Build(*node.inputs[0], context, grid));
      VARVE_ASSIGN_OR_RETURN(OperatorPtr rhs,
                             Build(*node.inputs[1], context, grid));
      return MakeBinary(node, context, std::move(lhs), std::move(rhs));
    }
    case PlanKind::kNegate: {
      VARVE_ASSIGN_OR_RETURN(OperatorPtr input,
                             Build(*node.inputs[0], context, grid));
      return MakeNegate(context, node.type == ValueType::kScalar,
                        std::move(input));
    }
    case PlanKind::kInvariant: {
      StepGrid one = grid;
      one.count = grid.count > 0 ? 1 : 0;
      VARVE_ASSIGN_OR_RETURN(OperatorPtr input,
                             Build(*node.inputs[0], context, one));
      return MakeInvariant(context, grid, std::move(input));
    }
    case PlanKind::kString:
    case PlanKind::kRange:
    case PlanKind::kSubquery:
      break;  // never operators of their own
  }
  VARVE_CHECK(false);
}

}  // namespace

absl::StatusOr<OperatorPtr> Build(const PlanNode& node, EvalContext& context,
                                  const StepGrid& grid) {
  VARVE_ASSIGN_OR_RETURN(OperatorPtr op, BuildNode(node, context, grid));
  if (context.profile == nullptr) return op;
  return MakeProfiled(node, context, context.profile, std::move(op));
}

}  // namespace varve::promql
