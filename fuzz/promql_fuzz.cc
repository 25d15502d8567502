#include <cstdint>
#include <string>
#include <string_view>

#include "query/parser.h"
#include "storage/check.h"
#include "storage/status_macros.h"

// Any text either is refused or has a canonical text that means the same: it
// parses, and prints as itself.

namespace {

using varve::promql::ParseExpr;

/// Prometheus's text form is not exact here, and ours is the same: spans below
/// a millisecond print as 0, which is no valid span; times beyond 2^53 ms are
/// rounded; the sign of `+Inf ^ 2` comes back as an operator.
bool MayNotRoundTrip(std::string_view printed) {
  for (const std::string_view part : {"0s", "@", "+Inf"}) {
    if (printed.find(part) != std::string_view::npos) return true;
  }
  return false;
}

void CheckQuery(std::string_view text) {
  const auto parsed = ParseExpr(text);
  if (!parsed.ok()) {
    VARVE_CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    VARVE_CHECK(!varve::Message(parsed.status()).empty());
    return;
  }
  const std::string printed = ToString(**parsed);
  if (printed.size() > varve::promql::kQueryBytesMax) return;
  if (MayNotRoundTrip(printed)) return;
  const auto again = ParseExpr(printed);
  VARVE_CHECK(again.ok());
  VARVE_CHECK(ToString(**again) == printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckQuery(text);
  const auto selector = varve::promql::ParseMetricSelector(text);
  VARVE_CHECK(selector.ok() || !varve::Message(selector.status()).empty());
  if (const auto ms = varve::promql::ParseDuration(text); ms.ok()) {
    const auto again =
        varve::promql::ParseDuration(varve::promql::FormatDuration(*ms));
    VARVE_CHECK(again.ok() && *again == *ms);
  }
  return 0;
}
