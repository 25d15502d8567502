#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace varve::promql {

/// What a query is asked for instead of its result.
enum class ExplainMode : uint8_t {
  kNone,
  kPlan,     ///< the plan; the query does not run
  kAnalyze,  ///< the plan and what each operator took; the query runs
};

/// What the operator of a plan node took, that of its inputs included. A node
/// that is built several times has the sum.
struct OperatorCost {
  int64_t time_ns = 0;
  int64_t series = 0;   ///< that it announced
  int64_t samples = 0;  ///< that selectors below it loaded
  /// The most that the whole query held when the operator gave something.
  int64_t bytes_max = 0;
};

/// A plan for people, without anything of the engine in it.
struct Explanation {
  std::string op;    ///< "aggregate", "range call", ...
  std::string text;  ///< the expression in canonical form
  /// Remarks like `range=300000ms`.
  std::vector<std::string> details;
  /// Only of a query that ran, and not of what its parent runs itself.
  std::optional<OperatorCost> cost;
  std::vector<Explanation> inputs;
};

}  // namespace varve::promql
