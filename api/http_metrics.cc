#include "api/http_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <sstream>
#include <utility>

namespace varve {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25,   0.5,   1,      2.5,   5,    10,    30,   120};

// Collects families that are made of numbers kept elsewhere.
class Page {
 public:
  void Counter(std::string name, std::string help, double value) {
    Add(MetricType::Counter, std::move(name), std::move(help), value);
  }
  void Gauge(std::string name, std::string help, double value) {
    Add(MetricType::Gauge, std::move(name), std::move(help), value);
  }
  /// One more sample of the family added last.
  ClientMetric& Also(std::vector<ClientMetric::Label> labels, double value) {
    MetricFamily& family = families_.back();
    ClientMetric metric;
    metric.label = std::move(labels);
    if (family.type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    return family.metric.emplace_back(std::move(metric));
  }
  void Family(MetricType type, std::string name, std::string help) {
    MetricFamily family;
    family.type = type;
    family.name = std::move(name);
    family.help = std::move(help);
    families_.push_back(std::move(family));
  }
  std::vector<MetricFamily>& families() { return families_; }

 private:
  void Add(MetricType type, std::string name, std::string help, double value) {
    Family(type, std::move(name), std::move(help));
    Also({}, value);
  }
  std::vector<MetricFamily> families_;
};

std::string ReadProc(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  char buffer[4096];
  const ssize_t n = ::read(fd, buffer, sizeof(buffer));
  ::close(fd);
  return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
}

int64_t CountOpenFiles() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int64_t count = -3;  // ".", "..", and the directory itself
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

void AddProcess(double start_time_seconds, Page* page) {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  page->Counter("process_cpu_seconds_total",
                "User and system CPU time spent in seconds.",
                seconds(usage.ru_utime) + seconds(usage.ru_stime));
  page->Gauge("process_open_fds", "Number of open file descriptors.",
              static_cast<double>(CountOpenFiles()));
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  page->Gauge("process_max_fds", "Maximum number of open file descriptors.",
              static_cast<double>(limit.rlim_cur));
  const std::string statm = ReadProc("/proc/self/statm");
  int64_t pages[2] = {};
  const char* at = statm.data();
  for (int64_t& n : pages) {
    at = std::from_chars(at, statm.data() + statm.size(), n).ptr + 1;
    if (at >= statm.data() + statm.size()) break;
  }
  const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  page->Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.",
              static_cast<double>(pages[0]) * page_bytes);
  page->Gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
              static_cast<double>(pages[1]) * page_bytes);
  page->Gauge("process_start_time_seconds",
              "Start time of the process since unix epoch in seconds.",
              start_time_seconds);
}

void AddServer(const HttpServer& server, Page* page) {
  const HttpServerStats s = server.Stats();
  page->Gauge("varve_http_connections", "Open HTTP connections.",
              static_cast<double>(s.connections));
  page->Counter("varve_http_connections_accepted_total",
                "Accepted HTTP connections.", static_cast<double>(s.accepted));
  page->Counter("varve_http_connections_evicted_total",
                "Idle connections closed to make room for new ones.",
                static_cast<double>(s.evicted));
  page->Counter("varve_http_bad_requests_total",
                "Requests refused before a handler saw them.",
                static_cast<double>(s.bad_requests));
  constexpr const char* kLanes[] = {"query", "write", "admin"};
  page->Family(MetricType::Gauge, "varve_http_requests_queued",
               "Requests that wait for a thread.");
  for (size_t i = 0; i < s.lane_queued.size() && i < 3; ++i) {
    page->Also({{"kind", kLanes[i]}}, static_cast<double>(s.lane_queued[i]));
  }
  page->Family(MetricType::Gauge, "varve_http_requests_running",
               "Requests that are being answered.");
  for (size_t i = 0; i < s.lane_running.size() && i < 3; ++i) {
    page->Also({{"kind", kLanes[i]}}, static_cast<double>(s.lane_running[i]));
  }
}

void AddHead(const DbStats& s, Page* page) {
  const auto d = [](int64_t n) { return static_cast<double>(n); };
  page->Gauge("varve_head_series", "Series in the head.", d(s.head_series));
  page->Counter("varve_head_series_created_total",
                "Series created in the head.", d(s.head_series_created));
  page->Counter("varve_head_series_removed_total",
                "Series removed from the head.", d(s.head_series_removed));
  page->Counter("varve_head_samples_appended_total",
                "Samples appended to the head.", d(s.head_samples_appended));
  page->Gauge("varve_head_chunks", "Chunks in the head.", d(s.head_chunks));
  page->Gauge("varve_head_bytes", "Memory that the head holds, in bytes.",
              d(s.head_bytes));
  page->Gauge("varve_exemplars", "Exemplars kept.", d(s.exemplars));
  // An empty head has no times.
  if (s.head_min_ms <= s.head_max_ms) {
    page->Gauge("varve_head_min_time_seconds",
                "Time of the oldest sample in the head.",
                d(s.head_min_ms) / 1e3);
    page->Gauge("varve_head_max_time_seconds",
                "Time of the newest sample in the head.",
                d(s.head_max_ms) / 1e3);
  }
  constexpr const char* kReasons[] = {"duplicate", "too_old", "too_far_ahead",
                                      "histogram", "exemplar"};
  page->Family(MetricType::Counter, "varve_samples_rejected_total",
               "Samples that were not stored.");
  for (size_t i = 0; i < 5; ++i) {
    page->Also({{"reason", kReasons[i]}}, d(s.samples_rejected[i]));
  }
}

void AddDisk(const DbStats& s, Page* page) {
  const auto d = [](int64_t n) { return static_cast<double>(n); };
  page->Gauge("varve_wal_bytes", "Size of the write-ahead log on disk.",
              d(s.wal_bytes));
  page->Gauge("varve_wal_segments", "Segments of the write-ahead log.",
              d(s.wal_segments));
  page->Counter("varve_wal_fsyncs_total", "Syncs of the write-ahead log.",
                d(s.wal_fsyncs));
  page->Counter("varve_wal_corruptions_total",
                "Bad records found in the write-ahead log.",
                d(s.wal_corruptions));
  page->Counter("varve_checkpoints_total", "Checkpoints of the head written.",
                d(s.checkpoints));
  page->Counter("varve_checkpoint_failures_total",
                "Checkpoints that could not be written.",
                d(s.checkpoint_failures));
  page->Gauge("varve_checkpoint_bytes", "Size of the newest checkpoint.",
              d(s.checkpoint_bytes));
  page->Gauge("varve_checkpoint_seconds",
              "Time that the writing of the newest checkpoint took.",
              s.checkpoint_seconds);
  page->Gauge("varve_wal_replay_seconds",
              "How long reading the write-ahead log took at the start.",
              s.replay_seconds);
  page->Gauge("varve_blocks", "Sealed blocks.", d(s.blocks));
  page->Gauge("varve_blocks_damaged", "Blocks that were set aside.",
              d(s.blocks_damaged));
  page->Gauge("varve_block_bytes", "Size of the blocks on disk.",
              d(s.block_bytes));
  page->Gauge("varve_block_series", "Series, summed over the blocks.",
              d(s.block_series));
  page->Gauge("varve_block_samples", "Samples in the blocks.",
              d(s.block_samples));
  page->Counter("varve_deletions_total", "Deletions of series.",
                d(s.deletions));
  page->Gauge("varve_tombstones",
              "Deletions that some block or the log still needs.",
              d(s.deletions_pending));
  page->Counter("varve_head_samples_deleted_total",
                "Samples deleted from the head.", d(s.head_samples_deleted));
  page->Counter("varve_blocks_dropped_by_time_total",
                "Blocks that the retention time ended.",
                d(s.blocks_dropped_by_time));
  page->Counter("varve_blocks_dropped_by_size_total",
                "Blocks dropped to stay below the retention size.",
                d(s.blocks_dropped_by_size));
  page->Counter("varve_blocks_cleaned_total",
                "Blocks rewritten or removed by clean_tombstones.",
                d(s.blocks_cleaned));
  page->Counter("varve_seals_total", "Windows sealed into blocks.", d(s.seals));
  page->Counter("varve_seal_failures_total", "Seals that failed.",
                d(s.seal_failures));
  page->Counter("varve_compactions_total", "Merges of blocks.",
                d(s.compactions));
  page->Counter("varve_compaction_failures_total",
                "Merges of blocks that failed.", d(s.compaction_failures));
  page->Counter("varve_compaction_read_bytes_total",
                "Bytes of blocks that were merged.",
                d(s.compaction_bytes_read));
  page->Counter("varve_compaction_written_bytes_total",
                "Bytes of blocks that merges made.",
                d(s.compaction_bytes_written));
}

void AddIngest(const Database& database, Page* page) {
  const auto d = [](int64_t n) { return static_cast<double>(n); };
  const ScrapeStats s = database.Scrapes();
  page->Gauge("varve_scrape_pools", "Scrape pools.", d(s.pools));
  page->Gauge("varve_scrape_targets", "Active targets.", d(s.targets));
  page->Counter("varve_scrapes_total", "Scrapes.", d(s.scrapes));
  page->Counter("varve_scrape_failures_total", "Scrapes that failed.",
                d(s.scrape_failures));
  page->Counter("varve_scrape_samples_appended_total", "Samples from scrapes.",
                d(s.samples_appended));
  page->Counter("varve_scrape_samples_rejected_total",
                "Scraped samples that the database did not take.",
                d(s.samples_rejected));
  page->Counter("varve_scrape_discovery_errors_total",
                "Discovery files that could not be read.",
                d(s.discovery_errors));
  page->Counter("varve_scrape_commit_failures_total",
                "Scrapes that the database did not take.",
                d(s.commit_failures));
  const RemoteWriteTotals w = database.RemoteWrites();
  page->Counter("varve_remote_write_requests_total", "Remote-write requests.",
                d(w.requests));
  page->Counter("varve_remote_write_requests_failed_total",
                "Remote-write requests not answered with success.",
                d(w.requests_failed));
  page->Counter("varve_remote_write_samples_total",
                "Samples received by remote write.", d(w.samples));
  page->Counter("varve_remote_write_samples_rejected_total",
                "Samples received by remote write and not stored.",
                d(w.samples_rejected));
  const ConfigStatus config = database.Config();
  page->Gauge("varve_config_last_reload_successful",
              "Whether the last configuration reload succeeded.",
              config.last_reload_ok ? 1 : 0);
  page->Gauge("varve_config_last_reload_success_timestamp_seconds",
              "When the configuration was last loaded.",
              d(config.last_success_ms) / 1e3);
}

}  // namespace

struct HttpMetrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter()
          .Name("varve_http_requests_total")
          .Help("HTTP requests by route and status.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& seconds =
      prometheus::BuildHistogram()
          .Name("varve_http_request_duration_seconds")
          .Help("How long requests took to answer, without waiting.")
          .Register(registry);
};

HttpMetrics::HttpMetrics() : state_(std::make_unique<State>()) {}
HttpMetrics::~HttpMetrics() = default;

void HttpMetrics::Count(std::string_view handler, int status, double seconds) {
  const std::string route(handler);
  state_->requests.Add({{"handler", route}, {"code", std::to_string(status)}})
      .Increment();
  state_->seconds.Add({{"handler", route}}, kSeconds).Observe(seconds);
}

std::string HttpMetrics::Render(const Database* database,
                                const HttpServer* server,
                                const ReplayProgress* progress,
                                double start_time_seconds) const {
  Page page;
  page.Family(MetricType::Gauge, "varve_build_info",
              "A metric with a constant 1 that says what runs here.");
  page.Also({{"revision", std::string(Revision())},
             {"version", std::string(Version())}},
            1);
  page.Gauge("varve_ready", "Whether the database answers.",
             database == nullptr ? 0 : 1);
  if (progress != nullptr) {
    page.Gauge("varve_wal_replay_bytes",
               "Size of checkpoint and log that the start reads.",
               static_cast<double>(progress->bytes_total.load()));
    page.Gauge("varve_wal_replay_read_bytes", "What has been read of it.",
               static_cast<double>(progress->bytes.load()));
  }
  AddProcess(start_time_seconds, &page);
  if (server != nullptr) AddServer(*server, &page);
  if (database != nullptr) {
    const DbStats stats = database->Stats();
    AddHead(stats, &page);
    AddDisk(stats, &page);
    AddIngest(*database, &page);
  }
  std::vector<MetricFamily> families = state_->registry.Collect();
  std::move(page.families().begin(), page.families().end(),
            std::back_inserter(families));
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace varve
