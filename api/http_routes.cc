#include "api/http_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "api/http_params.h"
#include "api/json_writer.h"

namespace varve {
namespace {

// Bits of the methods that a route takes.
constexpr unsigned kGet = 1;
constexpr unsigned kPost = 2;
constexpr unsigned kPut = 4;
constexpr unsigned kHead = 8;

unsigned MethodBit(std::string_view method) {
  if (method == "GET") return kGet;
  if (method == "POST") return kPost;
  if (method == "PUT") return kPut;
  if (method == "HEAD") return kHead;
  return 0;
}

constexpr std::string_view kApi = "/api/v1/";

// The pattern's `*` stands for one part of the path.
bool Matches(std::string_view pattern, std::string_view path) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == path;
  const std::string_view tail = pattern.substr(star + 1);
  if (path.size() <= star + tail.size() || !path.ends_with(tail) ||
      path.substr(0, star) != pattern.substr(0, star)) {
    return false;
  }
  return path.substr(star, path.size() - star - tail.size()).find('/') ==
         std::string_view::npos;
}

WebResponse PlainText(int status, std::string text) {
  WebResponse response;
  response.status = status;
  response.Set("Content-Type", "text/plain; charset=utf-8");
  response.body = std::move(text);
  return response;
}

WebResponse NotFound() { return PlainError(404, "404 page not found"); }

}  // namespace

struct HttpRoutes::Route {
  std::string_view path;
  unsigned methods;
  int lane;
  Handler handler;
  bool while_starting = false;  // answered before there is a database
};

const std::vector<HttpRoutes::Route>& HttpRoutes::Table() {
  using R = HttpRoutes;
  constexpr unsigned kForm = kGet | kPost;
  static const std::vector<Route> table = {
      {"/", kGet, kInline, &R::HomePage, true},
      {"/-/healthy", kGet | kHead, kInline, &R::Healthy, true},
      {"/-/quit", kGet | kPost | kPut, kInline, &R::Quit, true},
      {"/-/ready", kGet | kHead, kInline, &R::Ready, true},
      {"/-/reload", kGet | kPost | kPut, kAdmin, &R::Reload},
      {"/api/v1/admin/tsdb/clean_tombstones", kPost | kPut, kAdmin,
       &R::CleanTombstones},
      {"/api/v1/admin/tsdb/delete_series", kPost | kPut, kAdmin,
       &R::DeleteSeries},
      {"/api/v1/admin/tsdb/flush", kPost | kPut, kAdmin, &R::Flush},
      {"/api/v1/admin/tsdb/snapshot", kPost | kPut, kAdmin, &R::Snapshot},
      {"/api/v1/alertmanagers", kGet, kAdmin, &R::Alertmanagers},
      {"/api/v1/alerts", kGet, kAdmin, &R::Alerts},
      {"/api/v1/format_query", kForm, kQueries, &R::FormatQueryText},
      {"/api/v1/label/*/values", kGet, kQueries, &R::LabelValues},
      {"/api/v1/labels", kForm, kQueries, &R::LabelNames},
      {"/api/v1/metadata", kGet, kQueries, &R::MetricMetadata},
      {"/api/v1/notifications", kGet, kAdmin, &R::Notifications},
      {"/api/v1/parse_query", kForm, kQueries, &R::ParseQuery},
      {"/api/v1/query", kForm, kQueries, &R::Query},
      {"/api/v1/query_exemplars", kForm, kQueries, &R::QueryExemplars},
      {"/api/v1/query_range", kForm, kQueries, &R::QueryRange},
      {"/api/v1/read", kPost, kQueries, &R::NotImplemented},
      {"/api/v1/rules", kGet, kAdmin, &R::Rules},
      {"/api/v1/scrape_pools", kGet, kAdmin, &R::ScrapePools},
      {"/api/v1/series", kForm, kQueries, &R::Series},
      {"/api/v1/status/buildinfo", kGet, kAdmin, &R::BuildInfo, true},
      {"/api/v1/status/config", kGet, kAdmin, &R::ConfigText},
      {"/api/v1/status/flags", kGet, kAdmin, &R::Flags, true},
      {"/api/v1/status/queries", kGet, kInline, &R::RunningQueries},
      {"/api/v1/status/queries/*/cancel", kPost, kInline, &R::CancelQuery},
      {"/api/v1/status/runtimeinfo", kGet, kAdmin, &R::RuntimeInfo},
      {"/api/v1/status/tsdb", kGet, kAdmin, &R::TsdbStatus},
      {"/api/v1/status/walreplay", kGet, kAdmin, &R::WalReplay, true},
      {"/api/v1/targets", kGet, kAdmin, &R::Targets},
      {"/api/v1/targets/metadata", kGet, kAdmin, &R::TargetsMetadata},
      {"/api/v1/write", kPost, kWrites, &R::Write},
      {"/metrics", kGet, kAdmin, &R::Metrics, true},
      {"/version", kGet, kInline, &R::VersionText, true},
  };
  return table;
}

std::vector<HttpLaneOptions> HttpRoutes::Lanes(int queries_max) {
  const int cores =
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<HttpLaneOptions> lanes(3);
  lanes[kQueries] = {.threads_max = std::max(1, queries_max),
                     .queue_max = 1000};
  // Twice the cores: with fsync `always` half of them wait for the disk.
  lanes[kWrites] = {.threads_max = std::max(2, 2 * cores), .queue_max = 1000};
  lanes[kAdmin] = {.threads_max = 4, .queue_max = 200};
  return lanes;
}

HttpRoutes::HttpRoutes(HttpRoutesOptions options)
    : options_(std::move(options)),
      started_ns_(options_.clock->NowMs() * 1'000'000),
      query_log_(options_.fs, options_.clock, options_.logger) {}

absl::StatusOr<std::unique_ptr<HttpRoutes>> HttpRoutes::Create(
    HttpRoutesOptions options) {
  std::unique_ptr<HttpRoutes> routes(new HttpRoutes(std::move(options)));
  auto cors = Matcher::Create(MatchType::kRegex, "origin",
                              routes->options_.cors_origin);
  if (!cors.ok()) {
    return InvalidArgument("web.cors.origin: {}", Message(cors.status()));
  }
  routes->cors_ = *std::move(cors);
  return routes;
}

std::optional<std::string_view> HttpRoutes::Inside(
    const WebRequest& request) const {
  std::string_view path = request.path;
  const std::string& prefix = options_.route_prefix;
  if (prefix.empty()) return path;
  if (!path.starts_with(prefix)) return std::nullopt;
  path.remove_prefix(prefix.size());
  if (path.empty()) return "/";
  if (path.front() != '/') return std::nullopt;
  return path;
}

const HttpRoutes::Route* HttpRoutes::Find(const WebRequest& request,
                                          bool* path_known) const {
  *path_known = false;
  const auto path = Inside(request);
  if (!path) return nullptr;
  for (const Route& route : Table()) {
    if (!Matches(route.path, *path)) continue;
    *path_known = true;
    return (route.methods & MethodBit(request.method)) != 0 ? &route : nullptr;
  }
  return nullptr;
}

int HttpRoutes::LaneOf(const WebRequest& request) const {
  bool known = false;
  const Route* route = Find(request, &known);
  return route == nullptr ? kInline : route->lane;
}

WebResponse HttpRoutes::Handle(WebRequest& request) {
  const int64_t began = options_.clock->MonotonicNs();
  bool known = false;
  const Route* route = Find(request, &known);
  WebResponse response = Serve(route, known, request);
  AddCors(request, &response);
  metrics_.Count(
      route == nullptr ? "unknown" : route->path, response.status,
      static_cast<double>(options_.clock->MonotonicNs() - began) / 1e9);
  return response;
}

WebResponse HttpRoutes::Serve(const Route* route, bool path_known,
                              WebRequest& request) {
  if (route == nullptr) {
    const auto path = Inside(request);
    if (!path && request.path == "/") {
      WebResponse response;
      response.status = 302;
      response.Set("Location", options_.route_prefix + "/");
      return response;
    }
    if (request.method == "OPTIONS" && path && path->starts_with(kApi)) {
      WebResponse response;
      response.status = 204;
      return response;
    }
    return path_known ? WrongMethod(request) : NotFound();
  }
  if (database_.load() == nullptr && !route->while_starting) {
    return ApiError(absl::UnavailableError(
        "the database is starting: it is reading its write-ahead log"));
  }
  return (this->*route->handler)(request);
}

WebResponse HttpRoutes::WrongMethod(const WebRequest& request) const {
  std::string allow;
  const auto path = Inside(request);
  for (const Route& route : Table()) {
    if (!Matches(route.path, *path)) continue;
    if ((route.methods & kGet) != 0) allow += "GET, ";
    if ((route.methods & kHead) != 0) allow += "HEAD, ";
    allow += "OPTIONS";
    if ((route.methods & kPost) != 0) allow += ", POST";
    if ((route.methods & kPut) != 0) allow += ", PUT";
  }
  WebResponse response = PlainError(405, "Method Not Allowed");
  response.headers.insert(response.headers.begin(), {"Allow", allow});
  return response;
}

void HttpRoutes::AddCors(const WebRequest& request,
                         WebResponse* response) const {
  const auto path = Inside(request);
  if (!path || !path->starts_with(kApi)) return;
  if (response->status == 404 || response->status == 405) return;
  response->Set("Vary", "Origin");
  const std::string_view origin = request.Header("Origin");
  if (origin.empty()) return;
  response
      ->Set("Access-Control-Allow-Headers",
            "Accept, Authorization, Content-Type, Origin")
      .Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
      .Set("Access-Control-Expose-Headers", "Date");
  // A line break in it would end the header.
  if (origin.find_first_of("\r\n") == std::string_view::npos &&
      cors_->Matches(origin)) {
    response->Set("Access-Control-Allow-Origin", std::string(origin));
  }
}

WebResponse HttpRoutes::Overloaded(const WebRequest& request) {
  WebResponse response = ApiError(absl::UnavailableError(
      "too many requests of this kind are waiting; try again later"));
  response.Set("Retry-After", "1");
  metrics_.Count("overloaded", response.status, 0);
  AddCors(request, &response);
  return response;
}

// ------------------------------------------------------- writing and process

WebResponse HttpRoutes::Write(WebRequest& request) {
  RemoteWriteAnswer answer =
      db().RemoteWrite(request.body, request.Header("Content-Type"),
                       request.Header("Content-Encoding"));
  if (answer.status / 100 == 2) {
    WebResponse response;
    response.status = answer.status;
    response.headers = std::move(answer.headers);
    return response;
  }
  WebResponse response = PlainError(answer.status, answer.message);
  for (auto& header : answer.headers) {
    response.headers.push_back(std::move(header));
  }
  return response;
}

WebResponse HttpRoutes::Metrics(WebRequest&) {
  WebResponse response;
  response.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  response.body =
      metrics_.Render(database_.load(), server_.load(), options_.progress.get(),
                      static_cast<double>(started_ns_) / 1e9);
  return response;
}

WebResponse HttpRoutes::Healthy(WebRequest&) {
  return PlainText(200, "varve is Healthy.\n");
}

WebResponse HttpRoutes::Ready(WebRequest&) {
  if (database_.load() == nullptr) return PlainText(503, "Service Unavailable");
  return PlainText(200, "varve is Ready.\n");
}

WebResponse HttpRoutes::Reload(WebRequest& request) {
  if (request.method == "GET") {
    return PlainText(405, "Only POST or PUT requests allowed");
  }
  if (!options_.enable_lifecycle) {
    return PlainText(403, "Lifecycle API is not enabled.");
  }
  if (absl::Status s = db().Reload(); !s.ok()) {
    return PlainError(500,
                      fmt::format("failed to reload config: {}", Message(s)));
  }
  return PlainText(200, "");
}

WebResponse HttpRoutes::Quit(WebRequest& request) {
  if (request.method == "GET") {
    return PlainText(405, "Only POST or PUT requests allowed");
  }
  if (!options_.enable_lifecycle) {
    return PlainText(403, "Lifecycle API is not enabled.");
  }
  if (options_.quit) options_.quit();
  return PlainText(200, "Requesting termination... Goodbye!");
}

}  // namespace varve
