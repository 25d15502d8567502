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

/// Spans below a millisecond print as 0, which is no valid span. Times of more
/// than 2^53 ms are not exact in the text form.
bool MayLosePrecision(std::string_view printed) {
  return printed.find("0s") != std::string_view::npos ||
         printed.find('@') != std::string_view::npos;
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
  if (MayLosePrecision(printed)) return;
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
