#include "tools/serve.h"

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>

#include "api/http_routes.h"
#include "api/http_server.h"
#include "api/varve.h"
#include "tools/log_sink.h"

namespace varve {
namespace {

// How long running requests may take to finish when the process is asked to
// end; then queries are cancelled.
constexpr int64_t kStopGraceMs = 10 * 1000;

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

// As many files and connections as the system lets us have.
void RaiseFileLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// The next signal, or 0 when none came for `ms`.
int NextSignal(int ms) {
  const sigset_t set = HandledSignals();
  const timespec wait = {ms / 1000, (ms % 1000) * 1'000'000L};
  const int got = ::sigtimedwait(&set, nullptr, &wait);
  return got < 0 ? 0 : got;
}

std::string PathOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) {
    const size_t slash = url.find('/', scheme + 3);
    if (slash == std::string_view::npos) return "";
    url.remove_prefix(slash);
  }
  return std::string(url.substr(0, url.find_first_of("?#")));
}

// "" or "/x/y": no slash at the end.
std::string RoutePrefix(const ServeFlags& flags) {
  std::string prefix = flags.given("web.route-prefix")
                           ? flags.Text("web.route-prefix")
                           : PathOf(flags.Text("web.external-url"));
  while (!prefix.empty() && prefix.back() == '/') prefix.pop_back();
  if (!prefix.empty() && prefix.front() != '/') prefix.insert(0, "/");
  return prefix;
}

FsyncMode FsyncModeOf(const std::string& name) {
  if (name == "always") return FsyncMode::kAlways;
  return name == "never" ? FsyncMode::kNever : FsyncMode::kInterval;
}

// Without a configuration file varve scrapes itself.
std::string OwnConfig(int port, const std::string& prefix) {
  return fmt::format(
      "global:\n"
      "  scrape_interval: 15s\n"
      "scrape_configs:\n"
      "- job_name: varve\n"
      "  metrics_path: {}/metrics\n"
      "  static_configs:\n"
      "  - targets: ['127.0.0.1:{}']\n",
      prefix, port);
}

DatabaseOptions DatabaseOptionsOf(const ServeFlags& flags,
                                  const Logger& logger) {
  DatabaseOptions o;
  o.directory = flags.Text("storage.tsdb.path");
  while (o.directory.size() > 1 && o.directory.back() == '/') {
    o.directory.pop_back();
  }
  o.config_file = flags.Text("config.file");
  o.config_watch_interval_ms = flags.DurationMs("config.auto-reload-interval");
  o.wal_fsync = FsyncModeOf(flags.Text("storage.tsdb.wal-fsync"));
  if (flags.given("storage.tsdb.retention.time")) {
    o.retention.time_ms = flags.DurationMs("storage.tsdb.retention.time");
  }
  o.retention.bytes = flags.Number("storage.tsdb.retention.size");
  o.lookback_ms = flags.DurationMs("query.lookback-delta");
  o.query_timeout_ms = flags.DurationMs("query.timeout");
  o.query_samples_max = flags.Number("query.max-samples");
  o.query_bytes_max = flags.Number("query.max-bytes");
  o.queries_bytes_max = flags.Number("query.max-total-bytes");
  o.query_threads_max =
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  o.delayed_name_removal = flags.Feature("promql-delayed-name-removal");
  o.use_start_timestamps = flags.Feature("use-start-timestamps");
  o.extra_scrape_metrics = flags.Feature("extra-scrape-metrics");
  o.logger = logger;
  return o;
}

HttpRoutesOptions RoutesOptionsOf(const ServeFlags& flags,
                                  const Logger& logger) {
  HttpRoutesOptions o;
  o.flags = flags.All();
  o.enable_admin_api = flags.On("web.enable-admin-api");
  o.enable_lifecycle = flags.On("web.enable-lifecycle");
  o.route_prefix = RoutePrefix(flags);
  o.page_title = flags.Text("web.page-title");
  o.cors_origin = flags.Text("web.cors.origin");
  o.quit = [] { ::kill(::getpid(), SIGTERM); };
  o.logger = logger;
  return o;
}

HttpServerOptions ServerOptionsOf(const ServeFlags& flags,
                                  const Logger& logger) {
  HttpServerOptions o;
  o.addresses = flags.Texts("web.listen-address");
  o.lanes = HttpRoutes::Lanes(static_cast<int>(
      std::min<int64_t>(flags.Number("query.max-concurrency"), 1000)));
  o.connections_max = static_cast<int>(
      std::min<int64_t>(flags.Number("web.max-connections"), 1'000'000));
  if (const int64_t ms = flags.DurationMs("web.read-timeout"); ms > 0) {
    o.read_timeout_ms = ms;
    o.header_timeout_ms = std::min(o.header_timeout_ms, ms);
  }
  o.logger = logger;
  return o;
}

// Opens the database on a thread of its own, so that signals are heard while
// the log is being read.
class Opening {
 public:
  explicit Opening(DatabaseOptions options)
      : thread_([this, options = std::move(options)] {
          result_ = Database::Open(options);
          done_.store(true);
        }) {}

  bool done() const { return done_.load(); }
  absl::StatusOr<std::unique_ptr<Database>> Take() {
    thread_.join();
    return std::move(result_);
  }

 private:
  absl::StatusOr<std::unique_ptr<Database>> result_ =
      absl::InternalError("not opened");
  std::atomic<bool> done_{false};
  std::thread thread_;  // last: it uses the others
};

// nullptr when the process was asked to end, or the database cannot be opened.
std::unique_ptr<Database> OpenDatabase(DatabaseOptions options,
                                       const Logger& logger, int* exit_code) {
  auto opening = std::make_unique<Opening>(std::move(options));
  while (!opening->done()) {
    const int got = NextSignal(20);
    if (got == 0 || got == SIGHUP) continue;
    // Nothing has been acknowledged yet, and reading the log changes nothing
    // that a crash could not interrupt as well.
    logger.Warn("main", "asked to end while starting");
    ::_exit(0);
  }
  auto database = opening->Take();
  if (database.ok()) return *std::move(database);
  logger.Error("main", "cannot open the database: {}",
               Message(database.status()));
  *exit_code = 1;
  return nullptr;
}

void WaitForEnd(Database& database, const Logger& logger) {
  while (true) {
    const int got = NextSignal(3600 * 1000);
    if (got == SIGTERM || got == SIGINT) {
      logger.Info("main", "Received {}, ending gracefully",
                  got == SIGTERM ? "SIGTERM" : "SIGINT");
      return;
    }
    if (got == SIGHUP) (void)database.Reload();  // which logs how it went
  }
}

int Run(ServeFlags& flags, const Logger& logger) {
  const auto progress = std::make_shared<ReplayProgress>();
  HttpRoutesOptions routes_options = RoutesOptionsOf(flags, logger);
  routes_options.progress = progress;
  auto routes = HttpRoutes::Create(std::move(routes_options));
  if (!routes.ok()) {
    logger.Error("main", "{}", Message(routes.status()));
    return 1;
  }
  auto server =
      HttpServer::Start(ServerOptionsOf(flags, logger), routes->get());
  if (!server.ok()) {
    logger.Error("web", "{}", Message(server.status()));
    return 1;
  }
  (*routes)->SetServer(server->get());
  const std::vector<int> ports = (*server)->ports();
  for (size_t i = 0; i < ports.size(); ++i) {
    logger.Info("web", "Listening on {} (port {})",
                flags.Texts("web.listen-address")[i], ports[i]);
  }
  DatabaseOptions options = DatabaseOptionsOf(flags, logger);
  options.progress = progress;
  if (options.config_file.empty()) {
    options.config_text = OwnConfig(ports.at(0), RoutePrefix(flags));
  }
  int exit_code = 0;
  const auto database = OpenDatabase(std::move(options), logger, &exit_code);
  if (database) {
    (*routes)->SetDatabase(database.get());
    logger.Info("main", "Server is ready to receive web requests.");
    WaitForEnd(*database, logger);
  }
  (*server)->Stop(database ? kStopGraceMs : 0);
  (*routes)->SetServer(nullptr);
  (*routes)->SetDatabase(nullptr);
  if (database) {
    if (absl::Status s = database->Close(); !s.ok()) {
      logger.Error("main", "closing the database: {}", Message(s));
      exit_code = 1;
    }
  }
  logger.Info("main", "See you next time!");
  return exit_code;
}

/// A query takes some megabytes and gives them back. Left alone, the allocator
/// returns them to the system each time, and a tenth of a query's time goes
/// into getting them again, page by page.
void KeepSomeMemory() {
#ifdef __GLIBC__
  constexpr int kKeptBytes = 4 << 20;
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  ::mallopt(M_MMAP_THRESHOLD, kKeptBytes / 4);
#endif
}

}  // namespace

int Serve(ServeFlags& flags) {
  KeepSomeMemory();
  const sigset_t set = HandledSignals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // threads inherit it
  ::signal(SIGPIPE, SIG_IGN);
  // A file-size limit is then an error of that write, like a full disk.
  ::signal(SIGXFSZ, SIG_IGN);
  RaiseFileLimit();
  const Logger logger =
      MakeStderrLogger(flags.Text("log.level"), flags.Text("log.format"));
  flags.SetDefault("web.listen-address", flags.Text("config.file").empty()
                                             ? "127.0.0.1:9090"
                                             : "0.0.0.0:9090");
  logger.Info("main", "Starting varve {} (revision {})", Version(), Revision());
  for (const std::string& notice : flags.Notices()) {
    logger.Warn("main", "{}", notice);
  }
  return Run(flags, logger);
}

}  // namespace varve
