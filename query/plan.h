#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "query/ast.h"
#include "query/engine.h"
#include "query/operator.h"

namespace varve::promql {

/// Times of queries are kept inside this, so that adding windows and offsets to
/// them cannot overflow.
inline constexpr int64_t kTimeMsMax = int64_t{1} << 61;

enum class PlanKind : uint8_t {
  kNumber,
  kString,
  kSelector,        ///< an instant vector selector
  kRange,           ///< a range vector selector
  kSubquery,        ///< input 0 on a grid of its own, as a range vector
  kFunction,        ///< an instant function; the inputs are the arguments
  kInfo,            ///< info(); input 1 only says what is asked for
  kRangeCall,       ///< a function with a range vector among its arguments
  kTimestamp,       ///< timestamp() directly over a selector (input 0)
  kStartTimestamp,  ///< start_timestamp() likewise
  kAggregate,  ///< input 0 the vector, input 1 the parameter if there is one
  kBinary,
  kNegate,     ///< unary minus
  kInvariant,  ///< input 0 is the same at all steps: computed at one
};

/// When a selector or a subquery looks, relative to the step: at the fixed
/// time of `@` if there is one, else at the step, less the offset.
struct TimeAnchor {
  int64_t offset_ms = 0;
  bool fixed = false;
  int64_t at_ms = 0;

  int64_t Resolve(int64_t step_ms) const {
    return (fixed ? at_ms : step_ms) - offset_ms;
  }
};

/// The modifiers that take the samples around a window into account.
enum class Extension : uint8_t { kNone, kAnchored, kSmoothed };

/// A node of the immutable plan: the expression with everything resolved that
/// depends only on the query's parameters (brackets gone, duration expressions
/// computed, `@ start()` turned into a time, invariant parts marked).
struct PlanNode {
  PlanKind kind = PlanKind::kNumber;
  ValueType type = ValueType::kNone;
  /// The expression that the node stands for; owned by the Plan. For matchers,
  /// names, matching, grouping and positions.
  const Expr* expr = nullptr;
  std::vector<std::unique_ptr<PlanNode>> inputs;

  double number = 0;     ///< kNumber
  TimeAnchor anchor;     ///< kSelector, kRange, kSubquery
  int64_t range_ms = 0;  ///< kRange, kSubquery: the window
  /// How far outside its windows a selector reads, for smoothed and anchored.
  Extension extension = Extension::kNone;
  int64_t before_ms = 0;
  int64_t after_ms = 0;
  /// Selectors whose histograms get reset hints from their neighbours.
  bool derive_hints = false;
  int64_t inner_step_ms = 0;  ///< kSubquery: > 0
  /// What stands directly above a selector, for SelectHints.
  std::string_view hint_function;
  const AggregateExpr* hint_grouping = nullptr;

  PositionRange position() const { return expr->position; }
};
using PlanPtr = std::unique_ptr<PlanNode>;

struct Plan {
  ExprPtr ast;
  std::string text;
  StepGrid grid;
  bool instant = false;
  PlanPtr root;
};

/// Plans a parsed query. InvalidArgument when a duration is out of range.
absl::StatusOr<std::unique_ptr<const Plan>> MakePlan(
    ExprPtr ast, std::string_view text, const QueryParameters& parameters,
    const EngineOptions& options);

/// The operator tree of an instant-vector or scalar node: the one switch from
/// plan nodes to operators.
absl::StatusOr<OperatorPtr> Build(const PlanNode& node, EvalContext& context,
                                  const StepGrid& grid);

/// Where a remark about an argument of a call (kFunction, kRangeCall) points
/// to. As Prometheus has it: parentheses do not count, except around what is
/// computed once for all steps, and a subquery has no place of its own but is
/// named by the beginning of the text.
PositionRange ArgumentPosition(const PlanNode& call, size_t argument);

/// `grid` seen by the inner expression of a subquery: all multiples of the
/// inner step inside any window.
StepGrid InnerGrid(const PlanNode& subquery, const StepGrid& grid);

}  // namespace varve::promql
