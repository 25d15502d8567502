#include "query/binary.h"

#include <cmath>

#include "query/bounds.h"
#include "query/histogram_arithmetic.h"
#include "query/merge_duplicates.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

class ScalarBinary final : public Operator {
 public:
  ScalarBinary(BinaryOp op, EvalContext& context, OperatorPtr lhs,
               OperatorPtr rhs)
      : Operator(context, lhs->grid()),
        op_(op),
        lhs_(std::move(lhs)),
        rhs_(std::move(rhs)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return &series_;
  }
  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    VARVE_ASSIGN_OR_RETURN(const std::vector<double> l, ReadScalar(*lhs_));
    VARVE_ASSIGN_OR_RETURN(const std::vector<double> r, ReadScalar(*rhs_));
    row->series = 0;
    row->Clear(grid_.count);
    for (size_t i = 0; i < l.size(); ++i) {
      const ElementResult e = FloatElement(op_, l[i], r[i]);
      row->values[i] = IsComparison(op_) ? (e.keep ? 1.0 : 0.0) : e.value;
    }
    return true;
  }

 private:
  const BinaryOp op_;
  const OperatorPtr lhs_;
  const OperatorPtr rhs_;
  const std::vector<SeriesInfo> series_{SeriesInfo{}};
  bool done_ = false;
};

/// A vector with a scalar on either side: rows are changed in place.
class VectorScalarBinary final : public Operator {
 public:
  VectorScalarBinary(const BinaryExpr& expr, EvalContext& context,
                     OperatorPtr vector, OperatorPtr scalar, bool scalar_left)
      : Operator(context, vector->grid()),
        expr_(expr),
        vector_(std::move(vector)),
        scalar_(std::move(scalar)),
        scalar_left_(scalar_left),
        held_(context.query) {}

  bool SetBatches(const Batching& batching) override {
    return vector_->SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    if (!scalar_read_) {
      VARVE_ASSIGN_OR_RETURN(scalars_, ReadScalar(*scalar_));
      scalar_read_ = true;
    }
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* in,
                           vector_->Series());
    VARVE_RETURN_IF_ERROR(held_.SetSeries(*in));
    series_ = *in;
    if (ChangesMetric(expr_.op) || expr_.return_bool) {
      for (SeriesInfo& info : series_) DropName(context_.options, &info);
    }
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    VARVE_ASSIGN_OR_RETURN(const bool more, vector_->Next(row));
    if (!more) return false;
    for (size_t i = 0; i < steps(); ++i) {
      if (row->HasHistogram(i)) {
        VARVE_RETURN_IF_ERROR(HistogramStep(i, row));
      } else if (row->HasFloat(i)) {
        FloatStep(i, row);
      }
    }
    return true;
  }

 private:
  void FloatStep(size_t i, Row* row) {
    const double v = row->values[i];
    const double s = scalars_[i];
    const ElementResult e = scalar_left_ ? FloatElement(expr_.op, s, v)
                                         : FloatElement(expr_.op, v, s);
    if (!e.valid) {
      context_.annotations.IncompatibleTypes("float", ToString(expr_.op),
                                             "float", expr_.position);
      row->Remove(i);
    } else if (expr_.return_bool) {
      row->values[i] = e.keep ? 1 : 0;
    } else if (IsComparison(expr_.op)) {
      // A filter keeps the vector's value, on whichever side that stands.
      if (!e.keep) row->Remove(i);
    } else {
      row->values[i] = e.value;
    }
  }

  absl::Status HistogramStep(size_t i, Row* row) {
    const HistogramPtr histogram = row->histograms[i];
    const Operand vector{0, &histogram};
    const Operand scalar{scalars_[i], nullptr};
    VARVE_ASSIGN_OR_RETURN(const ElementResult e,
                           scalar_left_
                               ? Element(expr_, context_, scalar, vector)
                               : Element(expr_, context_, vector, scalar));
    if (!e.valid) {
      row->Remove(i);
    } else if (expr_.return_bool) {
      row->SetFloat(i, e.keep ? 1 : 0);
    } else if (!e.keep) {
      row->Remove(i);
    } else if (!IsComparison(expr_.op)) {
      row->SetHistogram(i, e.histogram);
    }
    return absl::OkStatus();
  }

  const BinaryExpr& expr_;
  const OperatorPtr vector_;
  const OperatorPtr scalar_;
  const bool scalar_left_;
  bool scalar_read_ = false;
  std::vector<double> scalars_;
  HeldBytes held_;
  std::vector<SeriesInfo> series_;
};

class Negate final : public Operator {
 public:
  Negate(EvalContext& context, bool scalar, OperatorPtr input)
      : Operator(context, input->grid()),
        scalar_(scalar),
        input_(std::move(input)),
        held_(context.query) {}

  bool SetBatches(const Batching& batching) override {
    return input_->SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* in, input_->Series());
    VARVE_RETURN_IF_ERROR(held_.SetSeries(*in));
    series_ = *in;
    if (!scalar_) {
      for (SeriesInfo& info : series_) DropName(context_.options, &info);
    }
    return &series_;
  }
  absl::StatusOr<bool> Next(Row* row) override {
    VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
    if (!more) return false;
    for (size_t i = 0; i < steps(); ++i) {
      if (row->HasHistogram(i)) {
        row->histograms[i] = std::make_shared<const FloatHistogram>(
            Multiplied(*row->histograms[i], -1));
      } else if (row->HasFloat(i)) {
        row->values[i] = -row->values[i];
      }
    }
    return true;
  }

 private:
  const bool scalar_;
  const OperatorPtr input_;
  HeldBytes held_;
  std::vector<SeriesInfo> series_;
};

}  // namespace

ElementResult FloatElement(BinaryOp op, double l, double r) {
  switch (op) {
    case BinaryOp::kAdd:
      return {true, true, l + r, nullptr};
    case BinaryOp::kSub:
      return {true, true, l - r, nullptr};
    case BinaryOp::kMul:
      return {true, true, l * r, nullptr};
    case BinaryOp::kDiv:
      return {true, true, l / r, nullptr};
    case BinaryOp::kMod:
      return {true, true, std::fmod(l, r), nullptr};
    case BinaryOp::kPow:
      return {true, true, std::pow(l, r), nullptr};
    case BinaryOp::kAtan2:
      return {true, true, std::atan2(l, r), nullptr};
    case BinaryOp::kEql:
      return {true, l == r, l, nullptr};
    case BinaryOp::kNeq:
      return {true, l != r, l, nullptr};
    case BinaryOp::kGtr:
      return {true, l > r, l, nullptr};
    case BinaryOp::kLss:
      return {true, l < r, l, nullptr};
    case BinaryOp::kGte:
      return {true, l >= r, l, nullptr};
    case BinaryOp::kLte:
      return {true, l <= r, l, nullptr};
    case BinaryOp::kTrimUpper:
    case BinaryOp::kTrimLower:
      return {false, false, 0, nullptr};
    case BinaryOp::kAnd:
    case BinaryOp::kOr:
    case BinaryOp::kUnless:
      break;
  }
  VARVE_CHECK(false);
}

namespace {

/// Two histograms, with one of the operators that are defined on them.
ElementResult HistogramPair(const BinaryExpr& expr, EvalContext& context,
                            const HistogramPtr& lhs,
                            const FloatHistogram& rhs) {
  if (IsComparison(expr.op)) {
    const bool same = SameHistogram(*lhs, rhs);
    return {true, same == (expr.op == BinaryOp::kEql), 0, lhs};
  }
  const bool add = expr.op == BinaryOp::kAdd;
  HistogramSum sum(*lhs);
  const HistogramSum::Outcome outcome = sum.Add(rhs, add ? 1 : -1);
  if (outcome.incompatible) {
    context.annotations.IncompatibleBuckets(ToString(expr.op), expr.position);
    return {false, false, 0, nullptr};
  }
  const std::string_view operation = add ? "addition" : "subtraction";
  if (outcome.reset_collision) {
    context.annotations.CounterResetCollision(operation, expr.position);
  }
  if (outcome.bounds_reconciled) {
    context.annotations.CustomBucketsReconciled(operation, expr.position);
  }
  if (!add) sum.SetHint(ResetHint::kGauge);
  return {true, true, 0, std::make_shared<const FloatHistogram>(sum.Result())};
}

FloatHistogram HistogramWithFloat(BinaryOp op, const FloatHistogram& h,
                                  double v) {
  switch (op) {
    case BinaryOp::kMul:
      return Compacted(Multiplied(h, v));
    case BinaryOp::kDiv:
      return Compacted(Divided(h, v));
    default:
      return Trimmed(h, v, op == BinaryOp::kTrimUpper);
  }
}

}  // namespace

absl::StatusOr<ElementResult> Element(const BinaryExpr& expr,
                                      EvalContext& context, const Operand& lhs,
                                      const Operand& rhs) {
  if (lhs.histogram == nullptr && rhs.histogram == nullptr) {
    ElementResult e = FloatElement(expr.op, lhs.value, rhs.value);
    if (!e.valid) {
      context.annotations.IncompatibleTypes("float", ToString(expr.op), "float",
                                            expr.position);
    }
    return e;
  }
  const bool left = lhs.histogram != nullptr;
  const bool right = rhs.histogram != nullptr;
  bool defined = false;
  if (left && right) {
    defined = expr.op == BinaryOp::kAdd || expr.op == BinaryOp::kSub ||
              expr.op == BinaryOp::kEql || expr.op == BinaryOp::kNeq;
  } else if (left) {
    defined = expr.op == BinaryOp::kMul || expr.op == BinaryOp::kDiv ||
              expr.op == BinaryOp::kTrimUpper ||
              expr.op == BinaryOp::kTrimLower;
  } else {
    defined = expr.op == BinaryOp::kMul;
  }
  if (!defined) {
    context.annotations.IncompatibleTypes(
        left ? "histogram" : "float", ToString(expr.op),
        right ? "histogram" : "float", expr.position);
    return ElementResult{false, false, 0, nullptr};
  }
  ElementResult e{true, true, 0, nullptr};
  if (left && right) {
    e = HistogramPair(expr, context, *lhs.histogram, **rhs.histogram);
  } else {
    e.histogram = std::make_shared<const FloatHistogram>(
        left ? HistogramWithFloat(expr.op, **lhs.histogram, rhs.value)
             : Compacted(Multiplied(**rhs.histogram, lhs.value)));
  }
  return e;
}

bool ChangesMetric(BinaryOp op) { return op <= BinaryOp::kAtan2; }

absl::StatusOr<OperatorPtr> MakeBinary(const PlanNode& node,
                                       EvalContext& context, OperatorPtr lhs,
                                       OperatorPtr rhs) {
  const auto& expr = As<BinaryExpr>(*node.expr);
  const bool left = node.inputs[0]->type == ValueType::kScalar;
  const bool right = node.inputs[1]->type == ValueType::kScalar;
  if (left && right) {
    return std::make_unique<ScalarBinary>(expr.op, context, std::move(lhs),
                                          std::move(rhs));
  }
  if (IsSetOperator(expr.op)) {
    return MakeSetOperator(node, context, std::move(lhs), std::move(rhs));
  }
  if (!left && !right) {
    return MakeVectorBinary(node, context, std::move(lhs), std::move(rhs));
  }
  if (left) std::swap(lhs, rhs);
  OperatorPtr op = std::make_unique<VectorScalarBinary>(
      expr, context, std::move(lhs), std::move(rhs), left);
  if (context.options.delayed_name_removal) return op;
  return MakeMergeDuplicates(std::move(op), context, Duplicates::kMerge);
}

OperatorPtr MakeNegate(EvalContext& context, bool scalar, OperatorPtr input) {
  OperatorPtr op = std::make_unique<Negate>(context, scalar, std::move(input));
  if (scalar || context.options.delayed_name_removal) return op;
  return MakeMergeDuplicates(std::move(op), context, Duplicates::kMerge);
}

}  // namespace varve::promql
