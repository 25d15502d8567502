#pragma once

#include <string>

#include "api/varve.h"

namespace varve {

/// An explanation as JSON: `{"operator":..,"text":..,"details":[..],
/// "cost":{"timeSeconds":..,"series":..,"samples":..,"bytes":..},
/// "inputs":[..]}`; what is empty is left out.
void AppendExplanation(const promql::Explanation& explanation,
                       std::string* out);

}  // namespace varve
