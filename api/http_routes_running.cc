#include <absl/strings/numbers.h>

#include "api/http_params.h"
#include "api/http_routes.h"
#include "api/json_writer.h"

// The queries that run: to list them and to end one. Ids are strings, as a
// JSON number would be a float to many clients.

namespace varve {
namespace {

constexpr std::string_view kQueriesPath = "/api/v1/status/queries/";
constexpr std::string_view kCancel = "/cancel";

}  // namespace

WebResponse HttpRoutes::RunningQueries(WebRequest&) {
  std::string data;
  JsonWriter json(&data);
  json.BeginObject().Key("queries").BeginArray();
  for (const QueryRegistry::Info& info : running_.List()) {
    json.BeginObject().Field("id", std::to_string(info.id));
    json.Field("query", info.query).Field("path", info.path);
    json.Field("client", info.client);
    json.Key("ageSeconds").Number(static_cast<double>(info.age_ns) / 1e9);
    json.Field("samples", info.samples).Field("bytes", info.bytes).EndObject();
  }
  json.EndArray().EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::CancelQuery(WebRequest& request) {
  // The route has matched, so both ends are there.
  std::string_view id = *Inside(request);
  id.remove_prefix(kQueriesPath.size());
  id.remove_suffix(kCancel.size());
  int64_t number = 0;
  if (!absl::SimpleAtoi(absl::string_view(id.data(), id.size()), &number) ||
      !running_.Cancel(number)) {
    return ApiError({"not_found", 404},
                    fmt::format("no query with the id {} is running", id));
  }
  std::string data;
  JsonWriter json(&data);
  json.BeginObject().Field("id", id).EndObject();
  return ApiSuccess(data);
}

}  // namespace varve
