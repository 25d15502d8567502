#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/http_metrics.h"
#include "api/http_query_log.h"
#include "api/http_query_registry.h"
#include "api/http_server.h"
#include "api/varve.h"

namespace varve {

struct HttpRoutesOptions {
  /// Name and value of every command-line flag, for status/flags.
  std::vector<std::pair<std::string, std::string>> flags;
  bool enable_admin_api = false;
  bool enable_lifecycle = false;
  /// "/prometheus" when all paths begin with that; "" for none.
  std::string route_prefix;
  std::string page_title = "varve";
  /// Anchored regex of the origins that may read answers in a browser.
  std::string cors_origin = ".*";
  /// A request to end the process, POST /-/quit.
  std::function<void()> quit;
  FileSystem* fs = FileSystem::Posix();
  Clock* clock = Clock::System();
  Logger logger;
  /// Of the database that is being opened; null: unknown.
  std::shared_ptr<const ReplayProgress> progress;
};

/// The Prometheus HTTP API over a Database. Before SetDatabase it answers
/// health and its own metrics, and 503 to everything else. Thread-safe.
class HttpRoutes final : public HttpHandler {
 public:
  /// The lanes that a server of these routes needs, in the order of Lane.
  static std::vector<HttpLaneOptions> Lanes(int queries_max);
  enum Lane : int { kQueries = 0, kWrites = 1, kAdmin = 2 };

  /// InvalidArgument when cors_origin is no regex.
  static absl::StatusOr<std::unique_ptr<HttpRoutes>> Create(
      HttpRoutesOptions options);

  /// From now on `database` answers; it must outlive the server, or
  /// SetDatabase(nullptr) must be called after the server has stopped.
  void SetDatabase(Database* database) { database_.store(database); }
  /// For the metrics of the server itself.
  void SetServer(const HttpServer* server) { server_.store(server); }

  int LaneOf(const WebRequest& request) const override;
  WebResponse Handle(WebRequest& request) override;
  WebResponse Overloaded(const WebRequest& request) override;

 private:
  struct Route;
  using Handler = WebResponse (HttpRoutes::*)(WebRequest&);

  explicit HttpRoutes(HttpRoutesOptions options);

  static const std::vector<Route>& Table();
  /// The path below the route prefix; nullopt when it is outside.
  std::optional<std::string_view> Inside(const WebRequest& request) const;
  const Route* Find(const WebRequest& request, bool* path_known) const;
  WebResponse Serve(const Route* route, bool path_known, WebRequest& request);
  WebResponse WrongMethod(const WebRequest& request) const;
  void AddCors(const WebRequest& request, WebResponse* response) const;
  Database& db() const { return *database_.load(); }

  // http_routes_query.cc
  WebResponse Query(WebRequest& request);
  WebResponse QueryRange(WebRequest& request);
  WebResponse QueryExemplars(WebRequest& request);
  WebResponse FormatQueryText(WebRequest& request);
  WebResponse ParseQuery(WebRequest& request);
  WebResponse NotImplemented(WebRequest& request);
  struct QueryCall;
  WebResponse RunQuery(WebRequest& request, const QueryCall& call);
  WebResponse ExplainQuery(const WebRequest& request, const QueryCall& call,
                           QueryContext& context);

  // http_routes_running.cc
  WebResponse RunningQueries(WebRequest& request);
  WebResponse CancelQuery(WebRequest& request);

  // http_routes_series.cc
  WebResponse Series(WebRequest& request);
  WebResponse LabelNames(WebRequest& request);
  WebResponse LabelValues(WebRequest& request);
  WebResponse MetricMetadata(WebRequest& request);
  WebResponse TargetsMetadata(WebRequest& request);

  // http_routes_status.cc
  WebResponse Targets(WebRequest& request);
  WebResponse ScrapePools(WebRequest& request);
  WebResponse Rules(WebRequest& request);
  WebResponse Alerts(WebRequest& request);
  WebResponse Alertmanagers(WebRequest& request);
  WebResponse Notifications(WebRequest& request);
  WebResponse BuildInfo(WebRequest& request);
  WebResponse RuntimeInfo(WebRequest& request);
  WebResponse ConfigText(WebRequest& request);
  WebResponse Flags(WebRequest& request);
  WebResponse TsdbStatus(WebRequest& request);
  WebResponse WalReplay(WebRequest& request);

  // http_routes_admin.cc
  std::optional<WebResponse> AdminDisabled() const;
  static WebResponse NoContent(const absl::Status& status);
  WebResponse Flush(WebRequest& request);
  WebResponse Snapshot(WebRequest& request);
  WebResponse DeleteSeries(WebRequest& request);
  WebResponse CleanTombstones(WebRequest& request);

  // http_routes.cc
  WebResponse Write(WebRequest& request);
  WebResponse Metrics(WebRequest& request);
  WebResponse Healthy(WebRequest& request);
  WebResponse Ready(WebRequest& request);
  WebResponse Reload(WebRequest& request);
  WebResponse Quit(WebRequest& request);
  WebResponse VersionText(WebRequest& request);
  WebResponse HomePage(WebRequest& request);

  const HttpRoutesOptions options_;
  std::optional<Matcher> cors_;
  const int64_t started_ns_;  // wall clock
  std::atomic<Database*> database_{nullptr};
  std::atomic<const HttpServer*> server_{nullptr};
  HttpMetrics metrics_;
  QueryRegistry running_;
  QueryLog query_log_;
};

}  // namespace varve
