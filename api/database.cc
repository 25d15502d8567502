#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "api/config.h"
#include "api/config_watcher.h"
#include "api/database_writer.h"
#include "api/query_text.h"
#include "api/varve.h"
#include "ingest/remote_write.h"
#include "ingest/scrape_manager.h"
#include "query/engine.h"

namespace varve {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;

absl::StatusOr<Config> LoadConfig(const DatabaseOptions& options) {
  if (!options.config_file.empty()) return LoadConfigFile(options.config_file);
  return LoadConfigText(options.config_text, "");
}

RetentionPolicy RetentionOf(const DatabaseOptions& options,
                            const Config& config) {
  const RetentionPolicy policy = {
      .time_ms = config.retention_ms.value_or(options.retention.time_ms),
      .bytes = config.retention_bytes.value_or(options.retention.bytes)};
  return policy == RetentionPolicy{} ? DbOptions{}.retention : policy;
}

DbOptions MakeDbOptions(const DatabaseOptions& options, const Config& config) {
  DbOptions db;
  db.directory = options.directory;
  db.fs = options.fs;
  db.clock = options.clock;
  db.logger = options.logger;
  db.wal_fsync = options.wal_fsync;
  db.retention = RetentionOf(options, config);
  db.out_of_order_window_ms = config.out_of_order_window_ms;
  db.progress = options.progress;
  db.background = options.background;
  return db;
}

class DatabaseImpl final : public Database {
 public:
  DatabaseImpl(const DatabaseOptions& options, std::unique_ptr<Db> db);
  ~DatabaseImpl() override { (void)Close(); }

  absl::Status Start(varve::Config config);

  absl::Status Append(const Labels& labels, int64_t timestamp_ms,
                      double value) override;
  std::unique_ptr<Writer> NewWriter() override { return MakeWriter(db_.get()); }
  RemoteWriteAnswer RemoteWrite(std::string_view body,
                                std::string_view content_type,
                                std::string_view content_encoding) override;

  std::unique_ptr<QueryContext> NewQueryContext(
      int64_t timeout_ms, int64_t began_ns) const override;
  absl::StatusOr<promql::QueryResult> Query(QueryContext& context,
                                            std::string_view query,
                                            int64_t time_ms,
                                            int64_t lookback_ms) const override;
  absl::StatusOr<promql::QueryResult> QueryRange(
      QueryContext& context, std::string_view query, int64_t start_ms,
      int64_t end_ms, int64_t step_ms, int64_t lookback_ms) const override;
  absl::StatusOr<promql::Explanation> Explain(
      QueryContext& context, std::string_view query, int64_t start_ms,
      int64_t end_ms, int64_t step_ms, bool analyze) const override;

  absl::StatusOr<Listing<Labels>> Series(
      QueryContext& context, const ListingRange& range) const override;
  absl::StatusOr<Listing<std::string>> LabelNames(
      QueryContext& context, const ListingRange& range) const override;
  absl::StatusOr<Listing<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      const ListingRange& range) const override;
  std::vector<std::pair<std::string, Metadata>> FamilyMetadata()
      const override {
    return db_->FamilyMetadata();
  }
  absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      std::string_view query, int64_t start_ms, int64_t end_ms) const override;

  TargetsView Targets() const override { return scrapes_->Targets(); }
  std::vector<TargetMetadata> MetadataOfTargets() const override {
    return scrapes_->MetadataOfTargets();
  }
  absl::Status Reload() override;
  ConfigStatus Config() const override;

  absl::Status Flush() override { return db_->Flush(); }
  absl::StatusOr<std::string> Snapshot(bool skip_head) override {
    return db_->Snapshot(skip_head);
  }
  absl::Status DeleteSeries(const std::vector<std::vector<Matcher>>& selectors,
                            int64_t start_ms, int64_t end_ms) override {
    return db_->DeleteSeries(selectors, {start_ms, end_ms});
  }
  absl::Status CleanTombstones() override { return db_->CleanTombstones(); }
  DbStats Stats() const override { return db_->Stats(); }
  ScrapeStats Scrapes() const override { return scrapes_->Stats(); }
  QueryLogSettings QueryLog() const override {
    MutexLock lock(&mutex_);
    return query_log_;
  }
  RemoteWriteTotals RemoteWrites() const override;
  CardinalityStats Cardinality(size_t limit) const override {
    return db_->Cardinality(limit);
  }
  absl::Status Close() override;

 private:
  absl::Status Apply(varve::Config config)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(reload_mutex_);
  std::shared_ptr<const promql::Engine> engine() const {
    MutexLock lock(&mutex_);
    return engine_;
  }
  void WatchConfig();

  template <typename List>
  absl::StatusOr<Listing<std::string>> CollectNames(QueryContext& context,
                                                    const ListingRange& range,
                                                    List list) const;

  const DatabaseOptions options_;
  const std::shared_ptr<QueryBudget> query_budget_;
  const std::unique_ptr<Db> db_;
  const std::unique_ptr<RemoteWriter> remote_;
  const std::unique_ptr<ScrapeManager> scrapes_;

  // Taken before mutex_; held while a configuration is loaded and applied.
  Mutex reload_mutex_;
  std::unique_ptr<ConfigWatcher> watcher_ ABSL_GUARDED_BY(reload_mutex_);

  mutable Mutex mutex_;
  CondVar wake_;
  std::shared_ptr<const promql::Engine> engine_ ABSL_GUARDED_BY(mutex_);
  ConfigStatus config_status_ ABSL_GUARDED_BY(mutex_);
  QueryLogSettings query_log_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watch_thread_;
};

std::unique_ptr<ScrapeManager> MakeScrapeManager(const DatabaseOptions& options,
                                                 Db* db) {
  ScrapeManagerOptions scrape;
  scrape.db = db;
  scrape.clock = options.clock;
  scrape.logger = options.logger;
  scrape.background = options.background;
  scrape.extra_scrape_metrics = options.extra_scrape_metrics;
  scrape.user_agent = fmt::format("varve/{}", Version());
  return ScrapeManager::Create(std::move(scrape));
}

DatabaseImpl::DatabaseImpl(const DatabaseOptions& options,
                           std::unique_ptr<Db> db)
    : options_(options),
      query_budget_(std::make_shared<QueryBudget>(options.queries_bytes_max)),
      db_(std::move(db)),
      remote_(std::make_unique<RemoteWriter>(RemoteWriteOptions{
          .begin_append = [db = db_.get()] { return db->BeginAppend(); }})),
      scrapes_(MakeScrapeManager(options, db_.get())) {}

absl::Status DatabaseImpl::Start(varve::Config config) {
  {
    MutexLock lock(&reload_mutex_);
    watcher_ = std::make_unique<ConfigWatcher>(config.watch_patterns);
    VARVE_RETURN_IF_ERROR(Apply(std::move(config)));
  }
  if (options_.config_watch_interval_ms > 0 && options_.background &&
      !options_.config_file.empty()) {
    watch_thread_ = std::thread([this] { WatchConfig(); });
  }
  return absl::OkStatus();
}

// -------------------------------------------------------------- configuration

absl::Status DatabaseImpl::Apply(varve::Config config) {
  VARVE_RETURN_IF_ERROR(
      scrapes_->ApplyConfig(config.scrape_configs, config.external_labels));
  db_->SetOutOfOrderWindow(config.out_of_order_window_ms);
  const RetentionPolicy retention = RetentionOf(options_, config);
  db_->SetRetention(retention);
  for (const std::string& notice : config.notices) {
    options_.logger.Warn("config", "{}", notice);
  }
  watcher_->SetPatterns(config.watch_patterns);
  promql::EngineOptions engine;
  engine.lookback_ms = options_.lookback_ms;
  engine.subquery_step_ms = config.evaluation_interval_ms;
  engine.delayed_name_removal = options_.delayed_name_removal;
  engine.use_start_timestamps = options_.use_start_timestamps;
  engine.threads_max = options_.query_threads_max;
  MutexLock lock(&mutex_);
  engine_ = std::make_shared<const promql::Engine>(engine);
  config_status_.retention = retention;
  query_log_ = {std::move(config.query_log_file), options_.clock->NowMs()};
  config_status_.yaml = std::move(config.yaml);
  config_status_.last_reload_ok = true;
  config_status_.last_error.clear();
  config_status_.last_success_ms = options_.clock->NowMs();
  return absl::OkStatus();
}

absl::Status DatabaseImpl::Reload() {
  MutexLock lock(&reload_mutex_);
  auto config = LoadConfig(options_);
  absl::Status status =
      config.ok() ? Apply(*std::move(config)) : config.status();
  if (status.ok()) {
    options_.logger.Info("config", "configuration loaded from {}",
                         options_.config_file);
    return status;
  }
  options_.logger.Error("config",
                        "the old configuration stays, since the new one "
                        "cannot be used: {}",
                        Message(status));
  MutexLock status_lock(&mutex_);
  config_status_.last_reload_ok = false;
  config_status_.last_error = std::string(Message(status));
  return status;
}

void DatabaseImpl::WatchConfig() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      if (!closed_) {
        wake_.WaitFor(&mutex_, std::chrono::milliseconds(
                                   options_.config_watch_interval_ms));
      }
      if (closed_) return;
    }
    bool changed = false;
    {
      MutexLock lock(&reload_mutex_);
      changed = watcher_->Poll();
    }
    if (changed) (void)Reload();  // which logs what is wrong
  }
}

ConfigStatus DatabaseImpl::Config() const {
  MutexLock lock(&mutex_);
  return config_status_;
}

absl::Status DatabaseImpl::Close() {
  {
    MutexLock lock(&mutex_);
    if (closed_) return absl::OkStatus();
    closed_ = true;
    wake_.NotifyAll();
  }
  if (watch_thread_.joinable()) watch_thread_.join();
  scrapes_->Stop();
  return db_->Close();
}

// -------------------------------------------------------------------- writing

absl::Status DatabaseImpl::Append(const Labels& labels, int64_t timestamp_ms,
                                  double value) {
  const auto writer = NewWriter();
  writer->Add(labels, timestamp_ms, value);
  VARVE_ASSIGN_OR_RETURN(const WriteResult result, writer->Commit());
  if (result.rejected_total() == 0) return absl::OkStatus();
  const Rejection reason = result.examples.empty()
                               ? Rejection::kDuplicate
                               : result.examples.front().reason;
  return OutOfRange("sample of {} at {} was not taken: {}", labels.ToString(),
                    timestamp_ms, RejectionText(reason));
}

RemoteWriteAnswer DatabaseImpl::RemoteWrite(std::string_view body,
                                            std::string_view content_type,
                                            std::string_view content_encoding) {
  RemoteWriteResult result =
      remote_->Write(content_type, content_encoding, body);
  RemoteWriteAnswer answer;
  answer.status = result.http_status;
  answer.message = std::move(result.text);
  if (!result.counts_asked) return answer;
  const auto tell = [&answer](std::string_view what, int64_t count) {
    answer.headers.emplace_back(
        fmt::format("X-Prometheus-Remote-Write-{}-Written", what),
        fmt::to_string(count));
  };
  tell("Samples", result.samples_stored);
  tell("Histograms", result.histograms_stored);
  tell("Exemplars", result.exemplars_stored);
  return answer;
}

RemoteWriteTotals DatabaseImpl::RemoteWrites() const {
  const RemoteWriteStats stats = remote_->Stats();
  RemoteWriteTotals totals;
  totals.requests = stats.requests;
  totals.requests_failed = stats.requests_failed;
  totals.samples = stats.samples;
  totals.samples_rejected = stats.samples_rejected;
  return totals;
}

// -------------------------------------------------------------------- queries

std::unique_ptr<QueryContext> DatabaseImpl::NewQueryContext(
    int64_t timeout_ms, int64_t began_ns) const {
  if (began_ns == 0) began_ns = options_.clock->MonotonicNs();
  int64_t limit_ms = options_.query_timeout_ms;
  if (timeout_ms != 0 && (limit_ms == 0 || timeout_ms < limit_ms)) {
    limit_ms = timeout_ms;
  }
  QueryContext::Limits limits;
  if (limit_ms != 0) limits.deadline_ns = began_ns + limit_ms * kNsPerMs;
  limits.samples_max = options_.query_samples_max;
  limits.bytes_max = options_.query_bytes_max;
  limits.budget = query_budget_;
  return std::make_unique<QueryContext>(options_.clock, limits);
}

absl::StatusOr<promql::QueryResult> DatabaseImpl::Query(
    QueryContext& context, std::string_view query, int64_t time_ms,
    int64_t lookback_ms) const {
  promql::QueryParameters parameters;
  parameters.start_ms = time_ms;
  parameters.end_ms = time_ms;
  parameters.lookback_ms = lookback_ms;
  return engine()->Run(context, db_->source(), query, parameters);
}

absl::StatusOr<promql::QueryResult> DatabaseImpl::QueryRange(
    QueryContext& context, std::string_view query, int64_t start_ms,
    int64_t end_ms, int64_t step_ms, int64_t lookback_ms) const {
  promql::QueryParameters parameters;
  parameters.start_ms = start_ms;
  parameters.end_ms = end_ms;
  parameters.step_ms = step_ms;
  parameters.lookback_ms = lookback_ms;
  return engine()->Run(context, db_->source(), query, parameters);
}

absl::StatusOr<promql::Explanation> DatabaseImpl::Explain(
    QueryContext& context, std::string_view query, int64_t start_ms,
    int64_t end_ms, int64_t step_ms, bool analyze) const {
  promql::QueryParameters parameters;
  parameters.start_ms = start_ms;
  parameters.end_ms = end_ms;
  parameters.step_ms = step_ms;
  parameters.explain = analyze ? promql::ExplainMode::kAnalyze
                               : promql::ExplainMode::kPlan;
  VARVE_ASSIGN_OR_RETURN(
      const promql::QueryResult result,
      engine()->Run(context, db_->source(), query, parameters));
  return *result.explanation;
}

// ------------------------------------------------------------------- listings

SelectHints HintsOf(const ListingRange& range) {
  SelectHints hints;
  hints.start_ms = range.start_ms;
  hints.end_ms = range.end_ms;
  hints.limit = range.limit;
  return hints;
}

// Sorts, drops repetitions, and cuts to the limit.
template <typename T>
Listing<T> Finish(std::vector<T> items, int64_t limit,
                  const QueryContext& context) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  Listing<T> listing;
  listing.truncated = limit > 0 && items.size() > static_cast<size_t>(limit);
  if (listing.truncated) items.resize(static_cast<size_t>(limit));
  listing.items = std::move(items);
  listing.warnings = context.warnings();
  return listing;
}

absl::StatusOr<Listing<Labels>> DatabaseImpl::Series(
    QueryContext& context, const ListingRange& range) const {
  std::vector<Labels> found;
  if (range.end_ms < range.start_ms) return Listing<Labels>();
  SelectHints hints = HintsOf(range);
  if (hints.limit > 0) ++hints.limit;  // to see that there are more
  for (const std::vector<Matcher>& matchers : range.selectors) {
    VARVE_ASSIGN_OR_RETURN(const std::unique_ptr<SeriesSet> set,
                           db_->source().Select(context, matchers, hints));
    for (int64_t n = 0; hints.limit == 0 || n < hints.limit; ++n) {
      VARVE_ASSIGN_OR_RETURN(const bool more, set->Next());
      if (!more) break;
      if (n % 256 == 0) VARVE_RETURN_IF_ERROR(context.Check());
      VARVE_RETURN_IF_ERROR(context.ChargeBytes(static_cast<int64_t>(
          sizeof(Labels) + set->labels().packed().size())));
      found.push_back(set->labels());
    }
  }
  return Finish(std::move(found), range.limit, context);
}

template <typename List>
absl::StatusOr<Listing<std::string>> DatabaseImpl::CollectNames(
    QueryContext& context, const ListingRange& range, List list) const {
  std::vector<std::string> found;
  if (range.end_ms < range.start_ms) return Listing<std::string>();
  static const std::vector<std::vector<Matcher>> kAll(1);
  const auto& selectors = range.selectors.empty() ? kAll : range.selectors;
  for (const std::vector<Matcher>& matchers : selectors) {
    VARVE_ASSIGN_OR_RETURN(std::vector<std::string> some,
                           list(matchers, HintsOf(range)));
    found.insert(found.end(), std::make_move_iterator(some.begin()),
                 std::make_move_iterator(some.end()));
  }
  return Finish(std::move(found), range.limit, context);
}

absl::StatusOr<Listing<std::string>> DatabaseImpl::LabelNames(
    QueryContext& context, const ListingRange& range) const {
  return CollectNames(
      context, range,
      [&](std::span<const Matcher> matchers, const SelectHints& hints) {
        return db_->source().LabelNames(context, matchers, hints);
      });
}

absl::StatusOr<Listing<std::string>> DatabaseImpl::LabelValues(
    QueryContext& context, std::string_view name,
    const ListingRange& range) const {
  return CollectNames(
      context, range,
      [&](std::span<const Matcher> matchers, const SelectHints& hints) {
        return db_->source().LabelValues(context, name, matchers, hints);
      });
}

absl::StatusOr<std::vector<ExemplarSeries>> DatabaseImpl::Exemplars(
    std::string_view query, int64_t start_ms, int64_t end_ms) const {
  VARVE_ASSIGN_OR_RETURN(const auto selectors, SelectorsOf(query));
  if (selectors.empty()) return std::vector<ExemplarSeries>();
  return db_->Exemplars(selectors, start_ms, end_ms);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(
    const DatabaseOptions& options) {
  VARVE_ASSIGN_OR_RETURN(varve::Config config, LoadConfig(options));
  VARVE_ASSIGN_OR_RETURN(std::unique_ptr<Db> db,
                         Db::Open(MakeDbOptions(options, config)));
  auto database = std::make_unique<DatabaseImpl>(options, std::move(db));
  VARVE_RETURN_IF_ERROR(database->Start(std::move(config)));
  return database;
}

}  // namespace varve
