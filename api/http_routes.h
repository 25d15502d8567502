#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/http_metrics.h"
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
  Clock* clock = Clock::System();
  Logger logger;
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

  int LaneOf(const HttpRequest& request) const override;
  HttpResponse Handle(HttpRequest& request) override;
  HttpResponse Overloaded(const HttpRequest& request) override;

 private:
  struct Route;
  using Handler = HttpResponse (HttpRoutes::*)(HttpRequest&);

  explicit HttpRoutes(HttpRoutesOptions options);

  static const std::vector<Route>& Table();
  /// The path below the route prefix; nullopt when it is outside.
  std::optional<std::string_view> Inside(const HttpRequest& request) const;
  const Route* Find(const HttpRequest& request, bool* path_known) const;
  HttpResponse Serve(const Route* route, bool path_known, HttpRequest& request);
  HttpResponse WrongMethod(const HttpRequest& request) const;
  void AddCors(const HttpRequest& request, HttpResponse* response) const;
  Database& db() const { return *database_.load(); }

  // http_routes_query.cc
  HttpResponse Query(HttpRequest& request);
  HttpResponse QueryRange(HttpRequest& request);
  HttpResponse QueryExemplars(HttpRequest& request);
  HttpResponse FormatQueryText(HttpRequest& request);
  HttpResponse NotImplemented(HttpRequest& request);

  // http_routes_series.cc
  HttpResponse Series(HttpRequest& request);
  HttpResponse LabelNames(HttpRequest& request);
  HttpResponse LabelValues(HttpRequest& request);
  HttpResponse MetricMetadata(HttpRequest& request);

  // http_routes_status.cc
  HttpResponse Targets(HttpRequest& request);
  HttpResponse ScrapePools(HttpRequest& request);
  HttpResponse Rules(HttpRequest& request);
  HttpResponse Alerts(HttpRequest& request);
  HttpResponse Alertmanagers(HttpRequest& request);
  HttpResponse Notifications(HttpRequest& request);
  HttpResponse BuildInfo(HttpRequest& request);
  HttpResponse RuntimeInfo(HttpRequest& request);
  HttpResponse ConfigText(HttpRequest& request);
  HttpResponse Flags(HttpRequest& request);
  HttpResponse TsdbStatus(HttpRequest& request);
  HttpResponse WalReplay(HttpRequest& request);

  // http_routes.cc
  HttpResponse Write(HttpRequest& request);
  HttpResponse Flush(HttpRequest& request);
  HttpResponse Metrics(HttpRequest& request);
  HttpResponse Healthy(HttpRequest& request);
  HttpResponse Ready(HttpRequest& request);
  HttpResponse Reload(HttpRequest& request);
  HttpResponse Quit(HttpRequest& request);
  HttpResponse VersionText(HttpRequest& request);
  HttpResponse HomePage(HttpRequest& request);

  const HttpRoutesOptions options_;
  std::optional<Matcher> cors_;
  const int64_t started_ns_;  // wall clock
  std::atomic<Database*> database_{nullptr};
  std::atomic<const HttpServer*> server_{nullptr};
  HttpMetrics metrics_;
};

}  // namespace varve
