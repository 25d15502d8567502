#pragma once

#include <vector>

#include "api/varve.h"

namespace varve {

/// The matchers of every selector in a query.
absl::StatusOr<std::vector<std::vector<Matcher>>> SelectorsOf(
    std::string_view query);

}  // namespace varve
