#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_message.h"
#include "api/varve.h"

namespace varve {

// The parameters of the Prometheus API. Errors are InvalidArgument with the
// text that Prometheus gives.

/// The earliest and latest times that a client can mean.
inline constexpr int64_t kApiTimeMin = INT64_MIN / 4;
inline constexpr int64_t kApiTimeMax = INT64_MAX / 4;

/// Seconds as a float, or RFC 3339. In milliseconds, held inside the two above.
absl::StatusOr<int64_t> ParseApiTime(std::string_view text);
/// Seconds as a float, or `1h30m`. In nanoseconds.
absl::StatusOr<int64_t> ParseApiDuration(std::string_view text);

/// `invalid parameter "name": text`
absl::Status InvalidParam(std::string_view name, std::string_view text);

/// The time in parameter `name`, or `otherwise` when it is absent or empty.
absl::StatusOr<int64_t> TimeParam(const WebRequest& request,
                                  std::string_view name, int64_t otherwise);
/// 1, t, true and the like; false when absent or empty.
absl::StatusOr<bool> BoolParam(const WebRequest& request,
                               std::string_view name);
/// The parameter `limit`; 0 when absent.
absl::StatusOr<int64_t> LimitParam(const WebRequest& request);
/// The selectors in `match[]`, each with a matcher that needs a value.
absl::StatusOr<std::vector<std::vector<Matcher>>> SelectorParams(
    const WebRequest& request);

/// Undoes Prometheus's escaping of names that are not legacy ones: `U__a_2e_b`
/// is `a.b`. Other names, and those that are not valid escapes, stay.
std::string UnescapeName(std::string_view name);

/// errorType and HTTP status of a failed API call.
struct ApiErrorKind {
  std::string_view type;
  int status;
};
/// The one table from our codes to Prometheus's.
ApiErrorKind ErrorKindOf(absl::StatusCode code);

/// `{"status":"error",...}`
WebResponse ApiError(const absl::Status& status);
WebResponse ApiError(ApiErrorKind kind, std::string_view text);
/// `{"status":"success","data":DATA}` and warnings if there are any.
WebResponse ApiSuccess(std::string_view data,
                       const std::vector<std::string>& warnings = {});
/// Closes the object that ApiSuccess writes: `,"warnings":[..],"infos":[..]}`.
void AppendApiEnd(std::string* out, const std::vector<std::string>& warnings,
                  const std::vector<std::string>& infos);

inline constexpr std::string_view kTruncatedWarning =
    "results truncated due to limit";

}  // namespace varve

/// VARVE_API_ASSIGN(auto x, MakeX()): x is the value, or the handler answers
/// with the error.
#define VARVE_API_ASSIGN(lhs, expr) \
  VARVE_API_ASSIGN_(VARVE_CONCAT(varve_api_or_, __LINE__), lhs, expr)
#define VARVE_API_ASSIGN_(tmp, lhs, expr) \
  auto tmp = (expr);                      \
  if (!tmp.ok()) [[unlikely]]             \
    return ApiError(tmp.status());        \
  lhs = *std::move(tmp)
