#include "ingest/scrape_loop.h"

#include <absl/container/flat_hash_set.h>

#include <array>
#include <utility>

#include "ingest/duration.h"
#include "ingest/scrape_protocol.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::array<std::string_view, 5> kReports = {
    "up", "scrape_duration_seconds", "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling", "scrape_series_added"};
constexpr std::array<std::string_view, 3> kExtraReports = {
    "scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"};

absl::Status StatusOfResponse(const HttpResponse& response) {
  VARVE_RETURN_IF_ERROR(response.status);
  if (response.code == 200) return absl::OkStatus();
  return Unavailable("server returned HTTP status {}{}{}", response.code,
                     response.reason.empty() ? "" : " ", response.reason);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ScrapeJob>> ScrapeJob::Create(
    const ScrapeConfig& config, const ScrapeManagerOptions& options) {
  auto job = std::make_shared<ScrapeJob>();
  job->config = config;
  VARVE_ASSIGN_OR_RETURN(job->target_relabel,
                         RelabelRules::Create(config.relabel_configs,
                                              config.metric_name_validation));
  VARVE_ASSIGN_OR_RETURN(job->metric_relabel,
                         RelabelRules::Create(config.metric_relabel_configs,
                                              config.metric_name_validation));
  job->extra_scrape_metrics =
      config.extra_scrape_metrics || options.extra_scrape_metrics;
  job->body_bytes_max = config.body_size_limit > 0 ? config.body_size_limit
                                                   : options.body_bytes_max;
  job->user_agent = options.user_agent;
  return job;
}

std::shared_ptr<TargetMemory> ScrapeLoop::NewMemory(
    const ScrapeJob& job, const ScrapeTarget& target) {
  const ScrapeConfig& config = job.config;
  return std::make_shared<TargetMemory>(SampleRules{
      .target_labels = target.labels,
      .honor_labels = config.honor_labels,
      .honor_timestamps = config.honor_timestamps,
      .track_timestamps_staleness = config.track_timestamps_staleness,
      .metric_relabel = job.metric_relabel,
      .names = config.metric_name_validation,
      .label_limit = config.label_limit,
      .label_name_length_limit = config.label_name_length_limit,
      .label_value_length_limit = config.label_value_length_limit});
}

ScrapeLoop::ScrapeLoop(std::shared_ptr<const ScrapeJob> job,
                       ScrapeTarget target,
                       std::shared_ptr<TargetMemory> memory)
    : job_(std::move(job)),
      target_(std::move(target)),
      memory_(std::move(memory)) {}

HttpRequest ScrapeLoop::MakeRequest() const {
  const ScrapeConfig& config = job_->config;
  HttpRequest request;
  request.url = target_.url;
  request.headers = {
      "Accept: " + AcceptHeader(config.scrape_protocols,
                                config.metric_name_escaping == "allow-utf-8"),
      "User-Agent: " + job_->user_agent,
      fmt::format("X-Prometheus-Scrape-Timeout-Seconds: {}",
                  static_cast<double>(target_.timeout_ms) / 1000)};
  request.config = config.http;
  request.timeout_ms = target_.timeout_ms;
  request.body_bytes_max = job_->body_bytes_max;
  request.compression = config.enable_compression;
  return request;
}

absl::Status ScrapeLoop::AppendBody(const ScrapeStart& start,
                                    HttpResponse* response, Appender* appender,
                                    ScrapeCounts* counts) {
  // An empty answer is a good scrape of nothing, as in Prometheus.
  if (response->body.empty()) {
    return memory_->series.AppendEmpty(start.timestamp_ms, appender);
  }
  VARVE_ASSIGN_OR_RETURN(const ChosenFormat format,
                         ChooseFormat(response->content_type,
                                      job_->config.fallback_scrape_protocol));
  return memory_->series.Append(response->body, format.format,
                                start.timestamp_ms, job_->config.sample_limit,
                                appender, counts);
}

absl::Status ScrapeLoop::AppendReports(const ScrapeStart& start, bool up,
                                       double duration_seconds,
                                       double body_bytes,
                                       const ScrapeCounts& counts,
                                       Appender* appender) {
  const std::array<double, 5> values = {
      up ? 1.0 : 0.0, duration_seconds, static_cast<double>(counts.scraped),
      static_cast<double>(counts.post_relabel),
      static_cast<double>(counts.series_added)};
  ScrapeSeries& series = memory_->series;
  for (size_t i = 0; i < kReports.size(); ++i) {
    VARVE_RETURN_IF_ERROR(series.AppendReport(kReports[i], start.timestamp_ms,
                                              values[i], appender));
  }
  if (!job_->extra_scrape_metrics) return absl::OkStatus();
  const std::array<double, 3> extra = {
      static_cast<double>(target_.timeout_ms) / 1000,
      static_cast<double>(job_->config.sample_limit), body_bytes};
  for (size_t i = 0; i < kExtraReports.size(); ++i) {
    VARVE_RETURN_IF_ERROR(series.AppendReport(
        kExtraReports[i], start.timestamp_ms, extra[i], appender));
  }
  return absl::OkStatus();
}

ScrapeOutcome ScrapeLoop::Finish(const ScrapeStart& start,
                                 HttpResponse response,
                                 const absl::Status& forced, Db* db,
                                 Clock* clock) {
  ScrapeOutcome out;
  ScrapeCounts counts;
  MutexLock lock(&memory_->mutex);
  const std::unique_ptr<Appender> appender = db->BeginAppend();
  out.scrape = forced.ok() ? StatusOfResponse(response) : forced;
  out.body_size_limit_exceeded =
      absl::IsResourceExhausted(out.scrape) && forced.ok();
  double body_bytes = out.body_size_limit_exceeded ? -1 : 0;
  bool empty = !out.scrape.ok();
  if (out.scrape.ok()) {
    body_bytes = static_cast<double>(response.body.size());
    out.scrape = AppendBody(start, &response, appender.get(), &counts);
    out.sample_limit_exceeded = counts.sample_limit_exceeded;
    empty = !out.scrape.ok();
  }
  // A failed scrape is an empty scrape: its series end here.
  if (empty) {
    out.commit =
        memory_->series.AppendEmpty(start.timestamp_ms, appender.get());
  }
  const double seconds =
      static_cast<double>(clock->MonotonicNs() - start.started_ns) / 1e9;
  if (out.commit.ok()) {
    out.commit = AppendReports(start, out.scrape.ok(), seconds, body_bytes,
                               counts, appender.get());
  }
  if (out.commit.ok()) {
    auto written = appender->Commit();
    out.commit = written.status();
    if (written.ok()) out.written = *std::move(written);
  }
  SetStatus(start.timestamp_ms, seconds,
            out.scrape.ok() ? out.commit : out.scrape);
  return out;
}

absl::Status ScrapeLoop::MarkStale(int64_t timestamp_ms,
                                   const std::vector<SeriesRef>& alive,
                                   Db* db) {
  MutexLock lock(&memory_->mutex);
  ScrapeSeries& series = memory_->series;
  if (!series.was_reported()) return absl::OkStatus();
  const std::unique_ptr<Appender> appender = db->BeginAppend();
  VARVE_RETURN_IF_ERROR(series.AppendEmpty(timestamp_ms, appender.get()));
  for (std::string_view name : kReports) {
    VARVE_RETURN_IF_ERROR(
        series.AppendReport(name, timestamp_ms, StaleNan(), appender.get()));
  }
  if (job_->extra_scrape_metrics) {
    for (std::string_view name : kExtraReports) {
      VARVE_RETURN_IF_ERROR(
          series.AppendReport(name, timestamp_ms, StaleNan(), appender.get()));
    }
  }
  WriteBatch& batch = appender->batch();
  const absl::flat_hash_set<SeriesRef> skip(alive.begin(), alive.end());
  WriteBatch marked;
  for (SeriesRef ref : batch.refs) {
    if (!skip.contains(ref)) marked.Add(ref, timestamp_ms, StaleNan());
  }
  batch = std::move(marked);
  return appender->Commit().status();
}

void ScrapeLoop::SetStatus(int64_t timestamp_ms, double duration_seconds,
                           const absl::Status& status) {
  MutexLock lock(&mutex_);
  last_error_ = Message(status);
  last_scrape_ms_ = timestamp_ms;
  last_duration_ = duration_seconds;
  health_ = status.ok() ? TargetHealth::kUp : TargetHealth::kDown;
}

ActiveTarget ScrapeLoop::View(const std::string& host_name) const {
  ActiveTarget view;
  view.discovered_labels = target_.discovered;
  view.labels = target_.labels;
  view.scrape_pool = job_->config.job_name;
  view.scrape_url = target_.url;
  view.global_url = GlobalUrl(target_.url, host_name);
  view.scrape_interval = FormatDurationMs(target_.interval_ms);
  view.scrape_timeout = FormatDurationMs(target_.timeout_ms);
  MutexLock lock(&mutex_);
  view.last_error = last_error_;
  view.last_scrape_ms = last_scrape_ms_;
  view.last_scrape_duration_seconds = last_duration_;
  view.health = health_;
  return view;
}

TargetMetadata ScrapeLoop::Families() const {
  MutexLock lock(&memory_->mutex);
  return {target_.labels, memory_->series.FamilyMetadata()};
}

}  // namespace varve
