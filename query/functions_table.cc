#include <absl/container/flat_hash_map.h>

#include "query/ast.h"

// The functions of PromQL with their signatures: all of Prometheus 3.14, the
// experimental ones included. What the engine does with them is elsewhere.

namespace varve::promql {
namespace {

constexpr ValueType kScalar = ValueType::kScalar;
constexpr ValueType kVector = ValueType::kVector;
constexpr ValueType kMatrix = ValueType::kMatrix;
constexpr ValueType kString = ValueType::kString;

// Name, arguments, variadic, result, experimental.
constexpr FunctionSignature kSignatures[] = {
    {"abs", {kVector}},
    {"absent", {kVector}},
    {"absent_over_time", {kMatrix}},
    {"acos", {kVector}},
    {"acosh", {kVector}},
    {"asin", {kVector}},
    {"asinh", {kVector}},
    {"atan", {kVector}},
    {"atanh", {kVector}},
    {"avg_over_time", {kMatrix}},
    {"ceil", {kVector}},
    {"changes", {kMatrix}},
    {"clamp", {kVector, kScalar, kScalar}},
    {"clamp_max", {kVector, kScalar}},
    {"clamp_min", {kVector, kScalar}},
    {"cos", {kVector}},
    {"cosh", {kVector}},
    {"count_over_time", {kMatrix}},
    {"day_of_month", {kVector}, 1},
    {"day_of_week", {kVector}, 1},
    {"day_of_year", {kVector}, 1},
    {"days_in_month", {kVector}, 1},
    {"deg", {kVector}},
    {"delta", {kMatrix}},
    {"deriv", {kMatrix}},
    {"double_exponential_smoothing",
     {kMatrix, kScalar, kScalar},
     0,
     kVector,
     true},
    {"end", {}, 0, kScalar, true},
    {"exp", {kVector}},
    {"first_over_time", {kMatrix}, 0, kVector, true},
    {"floor", {kVector}},
    {"histogram_avg", {kVector}},
    {"histogram_count", {kVector}},
    {"histogram_fraction", {kScalar, kScalar, kVector}},
    {"histogram_quantile", {kScalar, kVector}},
    {"histogram_quantiles",
     {kVector, kString, kScalar, kScalar},
     9,
     kVector,
     true},
    {"histogram_stddev", {kVector}},
    {"histogram_stdvar", {kVector}},
    {"histogram_sum", {kVector}},
    {"hour", {kVector}, 1},
    {"idelta", {kMatrix}},
    {"increase", {kMatrix}},
    {"info", {kVector, kVector}, 1, kVector, true},
    {"irate", {kMatrix}},
    {"label_join", {kVector, kString, kString, kString}, -1},
    {"label_replace", {kVector, kString, kString, kString, kString}},
    {"last_over_time", {kMatrix}},
    {"ln", {kVector}},
    {"log10", {kVector}},
    {"log2", {kVector}},
    {"mad_over_time", {kMatrix}, 0, kVector, true},
    {"max_of", {kScalar, kScalar}, 0, kScalar, true},
    {"max_over_time", {kMatrix}},
    {"min_of", {kScalar, kScalar}, 0, kScalar, true},
    {"min_over_time", {kMatrix}},
    {"minute", {kVector}, 1},
    {"month", {kVector}, 1},
    {"pi", {}, 0, kScalar},
    {"predict_linear", {kMatrix, kScalar}},
    {"present_over_time", {kMatrix}},
    {"quantile_over_time", {kScalar, kMatrix}},
    {"rad", {kVector}},
    {"range", {}, 0, kScalar, true},
    {"rate", {kMatrix}},
    {"resets", {kMatrix}},
    {"round", {kVector, kScalar}, 1},
    {"scalar", {kVector}, 0, kScalar},
    {"sgn", {kVector}},
    {"sin", {kVector}},
    {"sinh", {kVector}},
    {"sort", {kVector}},
    {"sort_by_label", {kVector, kString}, -1, kVector, true},
    {"sort_by_label_desc", {kVector, kString}, -1, kVector, true},
    {"sort_desc", {kVector}},
    {"sqrt", {kVector}},
    {"start", {}, 0, kScalar, true},
    {"start_timestamp", {kVector}, 0, kVector, true},
    {"stddev_over_time", {kMatrix}},
    {"stdvar_over_time", {kMatrix}},
    {"step", {}, 0, kScalar, true},
    {"sum_over_time", {kMatrix}},
    {"tan", {kVector}},
    {"tanh", {kVector}},
    {"time", {}, 0, kScalar},
    {"timestamp", {kVector}},
    {"ts_of_first_over_time", {kMatrix}, 0, kVector, true},
    {"ts_of_last_over_time", {kMatrix}, 0, kVector, true},
    {"ts_of_max_over_time", {kMatrix}, 0, kVector, true},
    {"ts_of_min_over_time", {kMatrix}, 0, kVector, true},
    {"vector", {kScalar}},
    {"year", {kVector}, 1},
};

}  // namespace

const FunctionSignature* FindFunction(std::string_view name) {
  using Table = absl::flat_hash_map<std::string, const FunctionSignature*>;
  static const Table& table = *[] {
    auto* made = new Table;
    for (const FunctionSignature& signature : kSignatures) {
      made->emplace(signature.name, &signature);
    }
    return made;
  }();
  const auto it = table.find(std::string(name));
  return it == table.end() ? nullptr : it->second;
}

}  // namespace varve::promql
