#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingest/scrape_config.h"
#include "storage/clock.h"
#include "storage/db.h"
#include "storage/log.h"

namespace varve {

enum class TargetHealth : uint8_t { kUnknown, kUp, kDown };
/// "unknown", "up", "down".
std::string_view TargetHealthName(TargetHealth health);

/// A target as /api/v1/targets shows it.
struct ActiveTarget {
  Labels discovered_labels;  ///< before relabelling, __meta_ included
  Labels labels;             ///< public labels only
  std::string scrape_pool;   ///< the job's name in the configuration
  std::string scrape_url;
  /// scrape_url with a loopback host replaced by this machine's name.
  std::string global_url;
  std::string last_error;      ///< empty after a good scrape
  int64_t last_scrape_ms = 0;  ///< 0: never
  double last_scrape_duration_seconds = 0;
  TargetHealth health = TargetHealth::kUnknown;
  std::string scrape_interval;  ///< as "15s"
  std::string scrape_timeout;
};

struct DroppedTarget {
  Labels discovered_labels;
  std::string scrape_pool;
};

struct TargetsView {
  std::vector<ActiveTarget> active;  ///< by pool, then by URL
  std::vector<DroppedTarget> dropped;
  /// Pool -> number of dropped targets, those not kept included.
  std::vector<std::pair<std::string, int64_t>> dropped_counts;
  /// Names of all pools, sorted; for /api/v1/scrape_pools.
  std::vector<std::string> pools;
};

/// What a target says of its metric families.
struct TargetMetadata {
  Labels labels;  ///< of the target, public ones only
  std::vector<std::pair<std::string, Metadata>> families;  ///< by name
};

/// Numbers for /metrics.
struct ScrapeStats {
  int64_t pools = 0;
  int64_t targets = 0;
  int64_t scrapes = 0;
  int64_t scrape_failures = 0;
  int64_t samples_appended = 0;
  int64_t samples_rejected = 0;  ///< by the database, out of order and the like
  int64_t sample_limit_exceeded = 0;
  int64_t body_size_limit_exceeded = 0;
  int64_t target_limit_exceeded = 0;
  int64_t discovery_errors = 0;  ///< unreadable file_sd files
  int64_t commit_failures = 0;   ///< scrapes the database did not take
};

struct ScrapeManagerOptions {
  Db* db = nullptr;
  Clock* clock = Clock::System();
  Logger logger;
  /// The threads that parse and append; one more does all network traffic.
  int worker_threads = 2;
  /// False: no threads; the owner calls Step(). For tests.
  bool background = true;
  /// Feature flag extra-scrape-metrics: on for every pool.
  bool extra_scrape_metrics = false;
  /// A body larger than this fails even without body_size_limit.
  uint64_t body_bytes_max = uint64_t{512} << 20;
  /// Sent as User-Agent.
  std::string user_agent = "varve";
};

/// Scrapes the targets of a configuration into a database. Thread-safe.
///
/// One thread owns all connections (curl multi) and the schedule; a few workers
/// parse bodies and commit, one commit per scrape. A target is scraped at
/// `offset + n * interval` with an offset from the hash of its labels and URL,
/// so that load is spread and survives restarts unchanged.
class ScrapeManager {
 public:
  static std::unique_ptr<ScrapeManager> Create(ScrapeManagerOptions options);
  virtual ~ScrapeManager() = default;

  /// Makes these the pools. Pools whose configuration is equal keep running
  /// untouched; targets that go away get stale markers (a little over two
  /// intervals later, in case they come back); a target that stays in a changed
  /// pool goes on without a gap. InvalidArgument: nothing changed.
  /// `external_labels` only seed the schedule's offsets, so that replicas do
  /// not scrape at the same moments.
  virtual absl::Status ApplyConfig(const std::vector<ScrapeConfig>& configs,
                                   const Labels& external_labels) = 0;

  virtual TargetsView Targets() const = 0;
  /// Of the active targets, in the order of Targets(). Waits for the scrapes
  /// that are being stored.
  virtual std::vector<TargetMetadata> MetadataOfTargets() const = 0;
  virtual ScrapeStats Stats() const = 0;

  /// One round of what the threads do: refreshes discovery, starts due scrapes,
  /// waits up to `wait_ms` of real time for network events, and commits what
  /// has arrived. Returns the number of scrapes still under way. REQUIRES:
  /// background is false; one caller at a time.
  virtual int Step(int wait_ms) = 0;

  /// Stops scraping; writes no stale markers, since a restart carries on.
  /// Running scrapes are aborted and nothing of them is stored. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace varve
