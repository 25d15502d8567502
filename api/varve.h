#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/duration.h"
#include "ingest/scrape_manager.h"
#include "query/value.h"
#include "storage/check.h"
#include "storage/db.h"
#include "storage/labels.h"
#include "storage/mutex.h"
#include "storage/query_context.h"
#include "storage/sample.h"
#include "storage/status_macros.h"

// The library's face: all that a program that embeds varve includes, and all
// that varve's own HTTP server is built on.

namespace varve {

/// "0.1.0"; the revision and date that the build was given, or "unknown".
std::string_view Version();
std::string_view Revision();
std::string_view BuildDate();

struct DatabaseOptions {
  std::string directory = "data";
  /// A prometheus.yml; "" for none.
  std::string config_file;
  /// Used when config_file is empty: the configuration itself.
  std::string config_text;
  /// Look at the configuration's files so often and reload on a change; 0: not.
  int64_t config_watch_interval_ms = 0;

  FsyncMode wal_fsync = FsyncMode::kInterval;
  /// What is kept, each limit unless the configuration says otherwise. 45 days
  /// when nobody sets any limit.
  RetentionPolicy retention;

  /// How far an instant selector looks back.
  int64_t lookback_ms = 5 * 60 * 1000;
  /// The most that a query may take; each 0 for no limit.
  int64_t query_timeout_ms = 2 * 60 * 1000;
  int64_t query_samples_max = 50'000'000;
  int64_t query_bytes_max = int64_t{2} << 30;
  /// The most that all running queries may hold together; 0: no limit.
  int64_t queries_bytes_max = int64_t{4} << 30;
  /// Threads that one query may use.
  int query_threads_max = 1;
  /// --enable-feature=promql-delayed-name-removal.
  bool delayed_name_removal = false;
  /// --enable-feature=use-start-timestamps.
  bool use_start_timestamps = false;
  /// --enable-feature=extra-scrape-metrics.
  bool extra_scrape_metrics = false;

  FileSystem* fs = FileSystem::Posix();
  Clock* clock = Clock::System();
  Logger logger;
  /// Filled while Open() reads the log; null: nobody looks.
  std::shared_ptr<ReplayProgress> progress;
  /// False: no threads of the database's own; tests call db()'s Maintain.
  bool background = true;
};

/// Samples that are written together: all of them become visible to queries at
/// once. Collects until Commit; nothing is held in the database meanwhile.
/// Single-thread; many may exist at once.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void Add(const Labels& labels, int64_t timestamp_ms,
                   double value) = 0;
  virtual void AddHistogram(const Labels& labels, int64_t timestamp_ms,
                            Histogram histogram) = 0;
  virtual void AddExemplar(const Labels& labels, Exemplar exemplar) = 0;
  virtual void AddMetadata(std::string family, Metadata metadata) = 0;
  /// Returns when the samples are as durable as wal_fsync says; the Writer is
  /// empty and can be used again. Samples that are not taken (a duplicate, too
  /// old) are counted in the result; an error means that none was taken.
  /// InvalidArgument names a label set without a valid metric name.
  virtual absl::StatusOr<WriteResult> Commit() = 0;
};

/// How a remote-write request ended, in HTTP terms.
struct RemoteWriteAnswer {
  int status = 204;
  std::string message;  ///< for the body; empty with 204
  /// To be sent with the answer, whatever its status.
  std::vector<std::pair<std::string, std::string>> headers;
};

/// Of remote write, since the start; for /metrics.
struct RemoteWriteTotals {
  int64_t requests = 0;
  int64_t requests_failed = 0;
  int64_t samples = 0;
  int64_t samples_rejected = 0;
};

/// Names or label sets, and whether a limit cut them.
template <typename T>
struct Listing {
  std::vector<T> items;
  std::vector<std::string> warnings;
  bool truncated = false;
};

/// A range of times and the series that it is about; for the calls that list.
struct ListingRange {
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  /// Series that match any of these; empty: all.
  std::vector<std::vector<Matcher>> selectors;
  int64_t limit = 0;  ///< 0: none
};

/// Where queries are logged. `path` "": nowhere.
struct QueryLogSettings {
  std::string path;
  int64_t loaded_ms = 0;  ///< when the configuration was loaded
  friend bool operator==(const QueryLogSettings&,
                         const QueryLogSettings&) = default;
};

struct ConfigStatus {
  /// The whole configuration, defaults filled in, secrets hidden.
  std::string yaml;
  bool last_reload_ok = true;
  std::string last_error;
  int64_t last_success_ms = 0;
  RetentionPolicy retention;  ///< in effect
};

/// A time-series database in a directory, with its scrapers and its query
/// engine. Thread-safe.
class Database {
 public:
  /// Opens or creates, recovers what was acknowledged, starts scraping.
  /// InvalidArgument names what is wrong with the configuration (then the
  /// directory has not been touched). FailedPrecondition: the directory is in
  /// use or is not varve's.
  static absl::StatusOr<std::unique_ptr<Database>> Open(
      const DatabaseOptions& options);
  /// Close() if that was not called.
  virtual ~Database() = default;

  /// Writes one sample. InvalidArgument / OutOfRange when it is not taken.
  virtual absl::Status Append(const Labels& labels, int64_t timestamp_ms,
                              double value) = 0;
  virtual std::unique_ptr<Writer> NewWriter() = 0;
  /// The body of a `POST /api/v1/write` and its headers.
  virtual RemoteWriteAnswer RemoteWrite(std::string_view body,
                                        std::string_view content_type,
                                        std::string_view content_encoding) = 0;

  /// What a query may use and how it is stopped, from the options. `timeout_ms`
  /// shortens the time (below 0: it is over already); `began_ns` (of the clock)
  /// is when it began to run, 0: now.
  virtual std::unique_ptr<QueryContext> NewQueryContext(
      int64_t timeout_ms = 0, int64_t began_ns = 0) const = 0;
  /// Evaluates PromQL at one moment, or from start to end in steps > 0.
  /// Codes as promql::Engine::Run. `lookback_ms` > 0 replaces the option.
  virtual absl::StatusOr<promql::QueryResult> Query(
      QueryContext& context, std::string_view query, int64_t time_ms,
      int64_t lookback_ms = 0) const = 0;
  virtual absl::StatusOr<promql::QueryResult> QueryRange(
      QueryContext& context, std::string_view query, int64_t start_ms,
      int64_t end_ms, int64_t step_ms, int64_t lookback_ms = 0) const = 0;
  /// How a query would be evaluated (step_ms 0: at start_ms) and, with
  /// `analyze`, what that took, which evaluates it.
  virtual absl::StatusOr<promql::Explanation> Explain(
      QueryContext& context, std::string_view query, int64_t start_ms,
      int64_t end_ms, int64_t step_ms, bool analyze) const = 0;
  /// The same as Query with a context of its own.
  absl::StatusOr<promql::QueryResult> Query(std::string_view query,
                                            int64_t time_ms) const {
    return Query(*NewQueryContext(), query, time_ms);
  }

  /// Label sets of matching series, sorted.
  virtual absl::StatusOr<Listing<Labels>> Series(
      QueryContext& context, const ListingRange& range) const = 0;
  virtual absl::StatusOr<Listing<std::string>> LabelNames(
      QueryContext& context, const ListingRange& range) const = 0;
  virtual absl::StatusOr<Listing<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      const ListingRange& range) const = 0;
  /// Of metric families, by name.
  virtual std::vector<std::pair<std::string, Metadata>> FamilyMetadata()
      const = 0;
  /// Exemplars of the series that a query selects.
  virtual absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      std::string_view query, int64_t start_ms, int64_t end_ms) const = 0;

  virtual TargetsView Targets() const = 0;
  virtual std::vector<TargetMetadata> MetadataOfTargets() const = 0;
  /// Reads the configuration file again. InvalidArgument: the old one stays.
  virtual absl::Status Reload() = 0;
  virtual ConfigStatus Config() const = 0;
  /// global.query_log_file; whoever serves queries writes it.
  virtual QueryLogSettings QueryLog() const = 0;

  /// Returns when everything accepted so far has its final form on disk.
  virtual absl::Status Flush() = 0;
  /// A consistent copy, itself a data directory, in `snapshots/<name>` below
  /// the directory; gives the name. Every sample accepted before the call is in
  /// it, or, with `skip_head`, those that have their final form.
  virtual absl::StatusOr<std::string> Snapshot(bool skip_head) = 0;
  /// Deletes what was written before the call: the samples in
  /// [start_ms, end_ms] of the series that match any of the selectors; one
  /// without matchers matches nothing. Durable, and out of all answers, when it
  /// returns. Samples written later stay, whatever their time. Exemplars and
  /// metadata stay. ResourceExhausted when too many deletions wait for
  /// CleanTombstones().
  virtual absl::Status DeleteSeries(
      const std::vector<std::vector<Matcher>>& selectors, int64_t start_ms,
      int64_t end_ms) = 0;
  /// Rewrites the data on disk without what was deleted and gives the space
  /// back. Merging of blocks does the same as it comes to them.
  virtual absl::Status CleanTombstones() = 0;
  virtual DbStats Stats() const = 0;
  virtual ScrapeStats Scrapes() const = 0;
  virtual RemoteWriteTotals RemoteWrites() const = 0;
  virtual CardinalityStats Cardinality(size_t limit) const = 0;

  /// Stops scraping, syncs, frees the directory. Idempotent.
  virtual absl::Status Close() = 0;
};

/// A series selector, `up{job="x"}`. InvalidArgument as for a query.
absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text);
/// The query in canonical form.
absl::StatusOr<std::string> FormatQuery(std::string_view query);
/// The syntax tree of a query as JSON, as Prometheus's /api/v1/parse_query
/// gives it; keys in alphabetical order.
absl::StatusOr<std::string> QueryTree(std::string_view query);

}  // namespace varve
