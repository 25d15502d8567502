#pragma once

#include <cstddef>
#include <string_view>

namespace varve {

/// XXH3, for maps keyed by strings; look-ups take a std::string_view.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const;
};

/// The equality that goes with it.
struct StringEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const {
    return a == b;
  }
};

}  // namespace varve
