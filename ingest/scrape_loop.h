#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingest/http_client.h"
#include "ingest/relabel.h"
#include "ingest/scrape_config.h"
#include "ingest/scrape_manager.h"
#include "ingest/scrape_series.h"
#include "ingest/scrape_target.h"
#include "storage/clock.h"
#include "storage/db.h"
#include "storage/mutex.h"

namespace varve {

/// A job's configuration, compiled; shared by its loops.
struct ScrapeJob {
  ScrapeConfig config;
  RelabelRules target_relabel;
  RelabelRules metric_relabel;
  bool extra_scrape_metrics = false;
  uint64_t body_bytes_max = 0;  ///< the cap, body_size_limit or the default
  std::string user_agent;

  /// InvalidArgument for rules that do not compile.
  static absl::StatusOr<std::shared_ptr<const ScrapeJob>> Create(
      const ScrapeConfig& config, const ScrapeManagerOptions& options);
};

/// What a target remembers between scrapes; handed on when a reload changes
/// nothing that decides about its series.
struct TargetMemory {
  explicit TargetMemory(SampleRules rules) : series(std::move(rules)) {}
  Mutex mutex;
  ScrapeSeries series ABSL_GUARDED_BY(mutex);
};

/// One scrape under way: when it was due and when it began.
struct ScrapeStart {
  int64_t timestamp_ms = 0;  ///< of its samples
  int64_t started_ns = 0;    ///< Clock::MonotonicNs
};

/// What came of a scrape, for the statistics.
struct ScrapeOutcome {
  absl::Status scrape;  ///< what made `up` 0
  absl::Status commit;  ///< why nothing was stored
  WriteResult written;
  bool sample_limit_exceeded = false;
  bool body_size_limit_exceeded = false;
};

/// One target of one job. Target and job are fixed; the status may be read by
/// any thread; Finish and MarkStale are called by one thread at a time.
class ScrapeLoop {
 public:
  ScrapeLoop(std::shared_ptr<const ScrapeJob> job, ScrapeTarget target,
             std::shared_ptr<TargetMemory> memory);

  /// A memory for a target of this job that has none yet.
  static std::shared_ptr<TargetMemory> NewMemory(const ScrapeJob& job,
                                                 const ScrapeTarget& target);

  const ScrapeTarget& target() const { return target_; }
  const ScrapeJob& job() const { return *job_; }
  const std::shared_ptr<TargetMemory>& memory() const { return memory_; }

  HttpRequest MakeRequest() const;
  /// Turns a response into samples and reports, in one commit. `forced` is an
  /// error that stands for the response (the target limit).
  ScrapeOutcome Finish(const ScrapeStart& start, HttpResponse response,
                       const absl::Status& forced, Db* db, Clock* clock);
  /// Stale markers for all its series that are not in `alive`; nothing if it
  /// was never scraped.
  absl::Status MarkStale(int64_t timestamp_ms,
                         const std::vector<SeriesRef>& alive, Db* db);

  ActiveTarget View(const std::string& host_name) const;
  TargetMetadata Families() const;

  // Owned by the manager, under its mutex.
  bool busy = false;     ///< a scrape is under way
  bool removed = false;  ///< not of any pool any more
  absl::Status forced_error;

 private:
  absl::Status AppendBody(const ScrapeStart& start, HttpResponse* response,
                          Appender* appender, ScrapeCounts* counts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(memory_->mutex);
  absl::Status AppendReports(const ScrapeStart& start, bool up,
                             double duration_seconds, double body_bytes,
                             const ScrapeCounts& counts, Appender* appender)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(memory_->mutex);
  void SetStatus(int64_t timestamp_ms, double duration_seconds,
                 const absl::Status& status);

  const std::shared_ptr<const ScrapeJob> job_;
  const ScrapeTarget target_;
  const std::shared_ptr<TargetMemory> memory_;

  mutable Mutex mutex_;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  int64_t last_scrape_ms_ ABSL_GUARDED_BY(mutex_) = 0;
  double last_duration_ ABSL_GUARDED_BY(mutex_) = 0;
  TargetHealth health_ ABSL_GUARDED_BY(mutex_) = TargetHealth::kUnknown;
};

}  // namespace varve
