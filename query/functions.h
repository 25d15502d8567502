#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "query/operator.h"
#include "query/plan.h"

namespace varve::promql {

// How an instant function gets into the engine: write its kernel in one of the
// functions_*.cc files, name it in the table at the end of that file, and list
// the file's table in functions.cc. Range functions (rate, *_over_time) are
// kernels over windows instead: see query/range_functions.h.

/// A call as a row kernel and a label kernel see it.
struct FunctionCall {
  const PlanNode& node;  ///< the call; node.position() for annotations
  EvalContext& context;
  const StepGrid& grid;
  /// Values of the scalar arguments, one per step; empty at the places of the
  /// other arguments. Indexed as the arguments are written; arguments that are
  /// left out are not there.
  std::span<const std::vector<double>> scalars;
  /// Values of the string arguments, indexed likewise.
  std::span<const std::string> strings;
};

/// Turns a row of the vector argument into the output row, in place. Called
/// once per series. Steps that are absent must stay so.
using RowKernel = absl::Status (*)(const FunctionCall& call, Row* row);

/// Turns the labels of the vector argument's series into those of the output,
/// in place (same number and order); rows pass unchanged. Equal label sets may
/// result: the builder merges them (an error where they overlap in time).
using LabelKernel = absl::Status (*)(const FunctionCall& call,
                                     std::vector<SeriesInfo>* series);

/// For functions that are neither: makes the function's own operator.
struct OperatorCall {
  const PlanNode& node;
  EvalContext& context;
  StepGrid grid;
  /// The arguments as operators, indexed as written; null for strings.
  std::vector<OperatorPtr> arguments;
  std::vector<std::string> strings;
};
using OperatorFactory = absl::StatusOr<OperatorPtr> (*)(OperatorCall call);

/// Exactly one of the three kernels is set.
struct FunctionImpl {
  std::string_view name;
  RowKernel row = nullptr;
  LabelKernel labels = nullptr;
  OperatorFactory make = nullptr;
  /// Row kernels: the output keeps the metric name.
  bool keeps_name = false;
  /// Row kernels: histograms are shown to the kernel. Otherwise they are taken
  /// out of the row first, which is what simple float functions do.
  bool histograms = false;
};

/// nullptr when the function is not there (yet).
const FunctionImpl* FindFunctionImpl(std::string_view name);

// One table per file.
std::span<const FunctionImpl> AbsentFunctions();     // functions_absent.cc
std::span<const FunctionImpl> CoreFunctions();       // functions_core.cc
std::span<const FunctionImpl> HistogramFunctions();  // functions_histogram.cc
std::span<const FunctionImpl> LabelFunctions();      // functions_label.cc
std::span<const FunctionImpl> MathFunctions();       // functions_math.cc
std::span<const FunctionImpl> ScalarFunctions();     // functions_scalar.cc
std::span<const FunctionImpl> SortFunctions();       // functions_sort.cc
std::span<const FunctionImpl> TimeFunctions();       // functions_time.cc

/// The evaluation time in seconds as an operator: time(), and the vector that
/// functions such as hour() take when they are given none.
OperatorPtr MakeEvaluationTime(EvalContext& context, const StepGrid& grid);

/// The labels of absent(expr): those that a selector's equality matchers name
/// once; none for any other expression.
Labels AbsentLabels(const Expr& expr);

/// The operator of a call to an instant function.
absl::StatusOr<OperatorPtr> MakeFunction(OperatorCall call);

}  // namespace varve::promql
