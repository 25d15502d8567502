#include <utility>

#include "api/http_params.h"
#include "api/http_routes.h"
#include "api/json_writer.h"

namespace varve {

std::optional<WebResponse> HttpRoutes::AdminDisabled() const {
  if (options_.enable_admin_api) return std::nullopt;
  // 500 and not 503, as Prometheus has it: waiting would not help.
  return ApiError({"unavailable", 500}, "admin APIs disabled");
}

WebResponse HttpRoutes::NoContent(const absl::Status& status) {
  if (!status.ok()) return ApiError(status);
  WebResponse response;
  response.status = 204;
  return response;
}

WebResponse HttpRoutes::Flush(WebRequest&) {
  if (auto disabled = AdminDisabled()) return *std::move(disabled);
  return NoContent(db().Flush());
}

WebResponse HttpRoutes::Snapshot(WebRequest& request) {
  if (auto disabled = AdminDisabled()) return *std::move(disabled);
  VARVE_API_ASSIGN(const bool skip_head, BoolParam(request, "skip_head"));
  VARVE_API_ASSIGN(const std::string name, db().Snapshot(skip_head));
  std::string data;
  JsonWriter json(&data);
  json.BeginObject().Field("name", name).EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::DeleteSeries(WebRequest& request) {
  if (auto disabled = AdminDisabled()) return *std::move(disabled);
  if (!request.params_error.empty()) {
    return ApiError(
        InvalidArgument("error parsing form values: {}", request.params_error));
  }
  if (!request.HasParam("match[]")) {
    return ApiError(
        absl::InvalidArgumentError("no match[] parameter provided"));
  }
  VARVE_API_ASSIGN(const int64_t start_ms,
                   TimeParam(request, "start", kApiTimeMin));
  VARVE_API_ASSIGN(const int64_t end_ms,
                   TimeParam(request, "end", kApiTimeMax));
  // A selector without a matcher that needs a value is no error here; one
  // without any matcher deletes nothing.
  std::vector<std::vector<Matcher>> selectors;
  for (const std::string& text : request.Params("match[]")) {
    auto matchers = ParseSelector(text);
    if (!matchers.ok()) {
      return ApiError(InvalidParam("match[]", Message(matchers.status())));
    }
    selectors.push_back(*std::move(matchers));
  }
  return NoContent(db().DeleteSeries(selectors, start_ms, end_ms));
}

WebResponse HttpRoutes::CleanTombstones(WebRequest&) {
  if (auto disabled = AdminDisabled()) return *std::move(disabled);
  return NoContent(db().CleanTombstones());
}

}  // namespace varve
