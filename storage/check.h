#pragma once

#include <string_view>

namespace varve {

/// Writes the failed condition and its place to stderr and aborts.
[[noreturn]] void CheckFailed(std::string_view condition, std::string_view file,
                              int line);

}  // namespace varve

/// Guards against programmer error, in every build. Never use it on bytes that
/// come from disk, network or configuration: those are errors, not bugs.
#define VARVE_CHECK(condition) \
  ((condition) ? (void)0 : ::varve::CheckFailed(#condition, __FILE__, __LINE__))
