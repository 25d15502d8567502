#pragma once

#include <string>

#include "api/varve.h"

namespace varve {

/// A Logger that writes lines to stderr. `level` is debug, info, warn or
/// error; `format` is logfmt or json.
Logger MakeStderrLogger(const std::string& level, const std::string& format);

}  // namespace varve
