#include "query/range_functions.h"

namespace varve::promql {

const RangeFunction* FindRangeFunction(std::string_view name) {
  for (std::span<const RangeFunction> table :
       {RateFunctions(), OverTimeFunctions()}) {
    for (const RangeFunction& f : table) {
      if (f.name == name) return &f;
    }
  }
  return nullptr;
}

}  // namespace varve::promql
