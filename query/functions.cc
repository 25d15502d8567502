#include "query/functions.h"

#include <algorithm>
#include <set>

#include "query/bounds.h"
#include "query/merge_duplicates.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// What kernels see of a call, kept for the operator's life.
struct CallState {
  std::vector<OperatorPtr> scalar_operators;
  std::vector<std::vector<double>> scalars;
  std::vector<std::string> strings;

  absl::Status Read() {
    if (!scalars.empty()) return absl::OkStatus();
    for (const OperatorPtr& op : scalar_operators) {
      scalars.emplace_back();
      if (op == nullptr) continue;
      VARVE_ASSIGN_OR_RETURN(scalars.back(), ReadScalar(*op));
    }
    return absl::OkStatus();
  }
};

/// A function that is a row kernel or a label kernel over its vector argument.
class KernelOperator final : public Operator {
 public:
  KernelOperator(const PlanNode& node, EvalContext& context, StepGrid grid,
                 const FunctionImpl& function, OperatorPtr input,
                 CallState state)
      : Operator(context, grid),
        node_(node),
        function_(function),
        input_(std::move(input)),
        state_(std::move(state)),
        held_(context.query) {}

  bool SetBatches(const Batching& batching) override {
    return function_.labels == nullptr && input_->SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_RETURN_IF_ERROR(state_.Read());
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* in, input_->Series());
    VARVE_RETURN_IF_ERROR(held_.SetSeries(*in));
    series_ = *in;
    if (function_.labels != nullptr) {
      VARVE_RETURN_IF_ERROR(function_.labels(Call(), &series_));
      VARVE_CHECK(series_.size() == in->size());
    } else if (!function_.keeps_name) {
      for (SeriesInfo& info : series_) DropName(context_.options, &info);
    }
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
    if (!more || function_.row == nullptr) return more;
    if (!function_.histograms) row->histograms.clear();
    VARVE_RETURN_IF_ERROR(function_.row(Call(), row));
    return true;
  }

 private:
  FunctionCall Call() const {
    return {node_, context_, grid_, state_.scalars, state_.strings};
  }

  const PlanNode& node_;
  const FunctionImpl& function_;
  const OperatorPtr input_;
  CallState state_;
  HeldBytes held_;
  std::vector<SeriesInfo> series_;
};

}  // namespace

const FunctionImpl* FindFunctionImpl(std::string_view name) {
  for (std::span<const FunctionImpl> table :
       {AbsentFunctions(), CoreFunctions(), HistogramFunctions(),
        LabelFunctions(), MathFunctions(), ScalarFunctions(), SortFunctions(),
        TimeFunctions()}) {
    for (const FunctionImpl& f : table) {
      if (f.name == name) return &f;
    }
  }
  return nullptr;
}

Labels AbsentLabels(const Expr& expr) {
  const std::vector<Matcher>* matchers = nullptr;
  if (expr.kind == ExprKind::kVectorSelector) {
    matchers = &As<VectorSelector>(expr).matchers;
  } else if (expr.kind == ExprKind::kMatrixSelector) {
    matchers = &As<MatrixSelector>(expr).selector->matchers;
  } else {
    return {};
  }
  LabelsBuilder labels;
  std::set<std::string_view> seen;
  for (const Matcher& m : *matchers) {
    if (m.name() == kMetricName) continue;
    if (m.type() == MatchType::kEqual && seen.insert(m.name()).second) {
      labels.Set(m.name(), m.value());
    } else {
      labels.Del(m.name());
    }
  }
  return labels.Build();
}

absl::StatusOr<OperatorPtr> MakeFunction(OperatorCall call) {
  const std::string_view name = As<Call>(*call.node.expr).function->name;
  const FunctionImpl* function = FindFunctionImpl(name);
  if (function == nullptr) {
    return Unimplemented("the function {}() is not implemented yet", name);
  }
  if (function->make != nullptr) return function->make(std::move(call));

  // Functions of time take the evaluation time when they are given no vector.
  OperatorPtr input;
  CallState state;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const bool vector = call.node.inputs[i]->type == ValueType::kVector;
    if (vector) input = std::move(call.arguments[i]);
    state.scalar_operators.push_back(vector ? nullptr
                                            : std::move(call.arguments[i]));
  }
  if (input == nullptr) {
    input = MakeEvaluationTime(call.context, call.grid);
  }
  state.strings = std::move(call.strings);
  OperatorPtr op = std::make_unique<KernelOperator>(
      call.node, call.context, call.grid, *function, std::move(input),
      std::move(state));
  const bool delayed = call.context.options.delayed_name_removal;
  const bool labels_change =
      function->labels != nullptr || (!function->keeps_name && !delayed);
  if (!labels_change) return op;
  return MakeMergeDuplicates(std::move(op), call.context, Duplicates::kMerge);
}

}  // namespace varve::promql
