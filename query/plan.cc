#include "query/plan.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "query/duration.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// What converting an expression gives: whether all its steps are equal, and
/// whether it pays to compute it at one (a number needs no such care).
struct Converted {
  PlanPtr node;
  bool invariant = false;
  bool wrap = false;
};

/// Functions whose result depends on the time of evaluation even when their
/// arguments do not.
bool DependsOnTime(std::string_view function) {
  static constexpr std::string_view kNames[] = {
      "days_in_month", "day_of_month", "day_of_week", "day_of_year",
      "hour",          "minute",       "month",       "predict_linear",
      "time",          "timestamp",    "year"};
  return std::find(std::begin(kNames), std::end(kNames), function) !=
         std::end(kNames);
}

const Expr& WithoutParens(const Expr& expr) {
  const Expr* e = &expr;
  while (e->kind == ExprKind::kParen) e = As<ParenExpr>(*e).expr.get();
  return *e;
}

class Planner {
 public:
  Planner(const QueryParameters& parameters, const EngineOptions& options)
      : parameters_(parameters),
        options_(options),
        lookback_ms_(parameters.lookback_ms > 0 ? parameters.lookback_ms
                                                : options.lookback_ms),
        durations_{parameters.step_ms / 1000.0,
                   (parameters.end_ms - parameters.start_ms) / 1000.0} {}

  absl::StatusOr<PlanPtr> Root(const Expr& expr) {
    VARVE_ASSIGN_OR_RETURN(Converted c, Convert(expr));
    return Wrapped(std::move(c));
  }

 private:
  absl::StatusOr<Converted> Convert(const Expr& any) {
    const Expr& expr = WithoutParens(any);
    switch (expr.kind) {
      case ExprKind::kNumber:
        return Number(As<NumberLiteral>(expr));
      case ExprKind::kString:
        return Converted{New(PlanKind::kString, expr), true, false};
      case ExprKind::kVectorSelector:
        return Selector(As<VectorSelector>(expr));
      case ExprKind::kMatrixSelector:
        return Range(As<MatrixSelector>(expr));
      case ExprKind::kSubquery:
        return Subquery(As<SubqueryExpr>(expr));
      case ExprKind::kCall:
        return Function(As<Call>(expr));
      case ExprKind::kAggregate:
        return Aggregate(As<AggregateExpr>(expr));
      case ExprKind::kBinary:
        return Binary(As<BinaryExpr>(expr));
      case ExprKind::kUnary:
        return Unary(As<UnaryExpr>(expr));
      case ExprKind::kParen:
        break;
    }
    VARVE_CHECK(false);
  }

  static PlanPtr New(PlanKind kind, const Expr& expr) {
    auto node = std::make_unique<PlanNode>();
    node->kind = kind;
    node->type = TypeOf(expr);
    node->expr = &expr;
    return node;
  }

  static PlanPtr Wrapped(Converted c) {
    if (!c.invariant || !c.wrap || c.node->type == ValueType::kMatrix) {
      return std::move(c.node);
    }
    PlanPtr node = New(PlanKind::kInvariant, *c.node->expr);
    node->inputs.push_back(std::move(c.node));
    return node;
  }

  static absl::StatusOr<Converted> Number(const NumberLiteral& number) {
    PlanPtr node = New(PlanKind::kNumber, number);
    node->number = number.value;
    return Converted{std::move(node), true, false};
  }

  absl::StatusOr<TimeAnchor> Anchor(const TimeShift& shift) const {
    TimeAnchor anchor;
    anchor.offset_ms = shift.offset_ms;
    if (shift.offset_expr != nullptr) {
      VARVE_ASSIGN_OR_RETURN(
          anchor.offset_ms,
          EvaluateDuration(*shift.offset_expr, durations_, true));
    }
    anchor.fixed = shift.anchor != AtAnchor::kNone;
    if (shift.anchor == AtAnchor::kTimestamp) {
      anchor.at_ms = std::clamp(shift.at_ms, -kTimeMsMax, kTimeMsMax);
    }
    if (shift.anchor == AtAnchor::kStart) anchor.at_ms = parameters_.start_ms;
    if (shift.anchor == AtAnchor::kEnd) anchor.at_ms = parameters_.end_ms;
    return anchor;
  }

  /// Prometheus finds reset hints of its own where only the count and the sum
  /// of histograms are asked for, since it then reads no buckets to compare.
  bool DeriveHints() const {
    return stats_calls_ > 0 && bucket_calls_ == 0 && subqueries_ == 0;
  }
  static bool IsStatsCall(std::string_view f) {
    return f == "histogram_count" || f == "histogram_sum" ||
           f == "histogram_avg";
  }
  static bool IsBucketCall(std::string_view f) {
    return f == "histogram_quantile" || f == "histogram_fraction";
  }

  void Extend(const VectorSelector& selector, PlanNode* node) const {
    node->derive_hints = DeriveHints();
    if (!selector.anchored && !selector.smoothed) return;
    node->extension =
        selector.smoothed ? Extension::kSmoothed : Extension::kAnchored;
    node->before_ms = lookback_ms_;
    node->after_ms = selector.smoothed ? lookback_ms_ : 0;
  }

  absl::StatusOr<Converted> Selector(const VectorSelector& selector) {
    PlanPtr node = New(PlanKind::kSelector, selector);
    VARVE_ASSIGN_OR_RETURN(node->anchor, Anchor(selector.shift));
    Extend(selector, node.get());
    const bool fixed = node->anchor.fixed;
    return Converted{std::move(node), fixed, fixed};
  }

  absl::StatusOr<Converted> Range(const MatrixSelector& range) {
    PlanPtr node = New(PlanKind::kRange, range);
    VARVE_ASSIGN_OR_RETURN(node->anchor, Anchor(range.selector->shift));
    Extend(*range.selector, node.get());
    node->range_ms = range.range_ms;
    if (range.range_expr != nullptr) {
      VARVE_ASSIGN_OR_RETURN(
          node->range_ms,
          EvaluateDuration(*range.range_expr, durations_, false));
    }
    const bool fixed = node->anchor.fixed;
    return Converted{std::move(node), fixed, false};
  }

  absl::StatusOr<Converted> Subquery(const SubqueryExpr& subquery) {
    PlanPtr node = New(PlanKind::kSubquery, subquery);
    VARVE_ASSIGN_OR_RETURN(node->anchor, Anchor(subquery.shift));
    node->range_ms = subquery.range_ms;
    if (subquery.range_expr != nullptr) {
      VARVE_ASSIGN_OR_RETURN(
          node->range_ms,
          EvaluateDuration(*subquery.range_expr, durations_, false));
    }
    node->inner_step_ms = subquery.step_ms;
    if (subquery.step_expr != nullptr) {
      VARVE_ASSIGN_OR_RETURN(
          node->inner_step_ms,
          EvaluateDuration(*subquery.step_expr, durations_, false));
    }
    if (node->inner_step_ms == 0) {
      node->inner_step_ms = options_.subquery_step_ms;
    }
    if (node->inner_step_ms <= 0) {
      return InvalidArgument("the step of a subquery must be positive");
    }
    ++subqueries_;
    VARVE_ASSIGN_OR_RETURN(Converted inner, Convert(*subquery.expr));
    --subqueries_;
    inner.wrap = inner.invariant;
    node->inputs.push_back(Wrapped(std::move(inner)));
    const bool fixed = node->anchor.fixed;
    return Converted{std::move(node), fixed, false};
  }

  /// Converts the inputs of a node that is invariant exactly when they are.
  absl::StatusOr<Converted> WithInputs(PlanPtr node,
                                       const std::vector<const Expr*>& inputs,
                                       bool may_be_invariant) {
    std::vector<Converted> converted;
    bool invariant = may_be_invariant;
    for (const Expr* input : inputs) {
      VARVE_ASSIGN_OR_RETURN(Converted c, Convert(*input));
      invariant = invariant && c.invariant;
      converted.push_back(std::move(c));
    }
    for (Converted& c : converted) {
      if (c.node->type == ValueType::kNone) continue;
      node->inputs.push_back(invariant ? std::move(c.node)
                                       : Wrapped(std::move(c)));
    }
    return Converted{std::move(node), invariant, invariant};
  }

  /// The value of a function that depends on nothing but the query.
  std::optional<double> QueryScalar(std::string_view function) const {
    if (function == "pi") return std::numbers::pi;
    if (function == "start") return parameters_.start_ms / 1000.0;
    if (function == "end") return parameters_.end_ms / 1000.0;
    if (function == "step") return parameters_.step_ms / 1000.0;
    if (function == "range") {
      return (parameters_.end_ms - parameters_.start_ms) / 1000.0;
    }
    return std::nullopt;
  }

  absl::StatusOr<Converted> Function(const Call& call) {
    if (const auto value = QueryScalar(call.function->name)) {
      PlanPtr node = New(PlanKind::kNumber, call);
      node->number = *value;
      return Converted{std::move(node), true, false};
    }
    bool has_range = false;
    std::vector<const Expr*> inputs;
    for (const ExprPtr& argument : call.arguments) {
      inputs.push_back(&WithoutParens(*argument));
      has_range = has_range || TypeOf(*argument) == ValueType::kMatrix;
    }
    PlanKind kind = has_range ? PlanKind::kRangeCall : PlanKind::kFunction;
    const std::string_view name = call.function->name;
    const bool own_time = (name == "timestamp" || name == "start_timestamp") &&
                          !inputs.empty() &&
                          inputs[0]->kind == ExprKind::kVectorSelector;
    if (own_time) {
      kind = name == "timestamp" ? PlanKind::kTimestamp
                                 : PlanKind::kStartTimestamp;
    }
    if (name == "info") kind = PlanKind::kInfo;
    stats_calls_ += IsStatsCall(name) ? 1 : 0;
    bucket_calls_ += IsBucketCall(name) ? 1 : 0;
    VARVE_ASSIGN_OR_RETURN(
        Converted c, WithInputs(New(kind, call), inputs, !DependsOnTime(name)));
    stats_calls_ -= IsStatsCall(name) ? 1 : 0;
    bucket_calls_ -= IsBucketCall(name) ? 1 : 0;
    for (PlanPtr& input : c.node->inputs) {
      // The sample's own time is wanted, at every step.
      if (own_time && input->kind == PlanKind::kInvariant) {
        PlanPtr selector = std::move(input->inputs[0]);
        input = std::move(selector);
      }
      Hint(input.get(), name, nullptr);
    }
    return c;
  }

  absl::StatusOr<Converted> Aggregate(const AggregateExpr& aggregate) {
    std::vector<const Expr*> inputs = {aggregate.expr.get()};
    if (aggregate.parameter != nullptr) {
      inputs.push_back(aggregate.parameter.get());
    }
    VARVE_ASSIGN_OR_RETURN(
        Converted c,
        WithInputs(New(PlanKind::kAggregate, aggregate), inputs, true));
    // A number alone is no reason to compute the aggregation at one step.
    Hint(c.node->inputs[0].get(), ToString(aggregate.op), &aggregate);
    return c;
  }

  absl::StatusOr<Converted> Binary(const BinaryExpr& binary) {
    return WithInputs(New(PlanKind::kBinary, binary),
                      {binary.lhs.get(), binary.rhs.get()}, true);
  }

  absl::StatusOr<Converted> Unary(const UnaryExpr& unary) {
    VARVE_ASSIGN_OR_RETURN(Converted c, Convert(*unary.expr));
    if (!unary.negative) return c;
    PlanPtr node = New(PlanKind::kNegate, unary);
    node->inputs.push_back(std::move(c.node));
    c.node = std::move(node);
    return c;
  }

  static void Hint(PlanNode* node, std::string_view function,
                   const AggregateExpr* grouping) {
    if (node->kind == PlanKind::kInvariant) node = node->inputs[0].get();
    node->hint_function = function;
    node->hint_grouping = grouping;
  }

  const QueryParameters& parameters_;
  const EngineOptions& options_;
  const int64_t lookback_ms_;
  const DurationContext durations_;
  // What stands above the expression that is being converted.
  int stats_calls_ = 0;
  int bucket_calls_ = 0;
  int subqueries_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Plan>> MakePlan(
    ExprPtr ast, std::string_view text, const QueryParameters& parameters,
    const EngineOptions& options) {
  auto plan = std::make_unique<Plan>();
  plan->text = text;
  plan->instant = parameters.step_ms == 0;
  plan->grid.start_ms = parameters.start_ms;
  if (!plan->instant) {
    plan->grid.step_ms = parameters.step_ms;
    plan->grid.count =
        (parameters.end_ms - parameters.start_ms) / parameters.step_ms + 1;
  }
  VARVE_ASSIGN_OR_RETURN(plan->root, Planner(parameters, options).Root(*ast));
  plan->ast = std::move(ast);
  return plan;
}

PositionRange ArgumentPosition(const PlanNode& call, size_t argument) {
  const PlanNode& input = *call.inputs[argument];
  switch (input.kind) {
    case PlanKind::kSubquery:
      return {};
    case PlanKind::kInvariant:
      return As<Call>(*call.expr).arguments[argument]->position;
    default:
      return input.position();
  }
}

StepGrid InnerGrid(const PlanNode& subquery, const StepGrid& grid) {
  const int64_t step = subquery.inner_step_ms;
  const int64_t after =
      subquery.anchor.Resolve(grid.start_ms) - subquery.range_ms;
  const int64_t last = subquery.anchor.Resolve(grid.end_ms());
  // The first multiple of the step above `after`; division rounds to zero.
  int64_t first = step * (after / step);
  if (first <= after) first += step;
  StepGrid inner;
  inner.start_ms = first;
  inner.step_ms = step;
  inner.count = last < first ? 0 : (last - first) / step + 1;
  return inner;
}

}  // namespace varve::promql
