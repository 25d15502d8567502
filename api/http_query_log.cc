#include "api/http_query_log.h"

#include <fmt/format.h>

#include <ctime>

#include "api/json_writer.h"

namespace varve {
namespace {

/// `2026-01-02T03:04:05.678Z`
std::string IsoTime(int64_t ms) {
  const int64_t part = ((ms % 1000) + 1000) % 1000;
  const std::time_t seconds = (ms - part) / 1000;
  std::tm t{};
  if (gmtime_r(&seconds, &t) == nullptr) return fmt::format("{} ms", ms);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                     t.tm_year + int64_t{1900}, t.tm_mon + 1, t.tm_mday,
                     t.tm_hour, t.tm_min, t.tm_sec, part);
}

}  // namespace

std::string QueryLogLine(const QueryLogEntry& entry, int64_t now_ms) {
  std::string line;
  JsonWriter json(&line);
  json.BeginObject().Field("time", IsoTime(now_ms)).Field("level", "INFO");
  json.Field("msg", "promql query logged").Key("params").BeginObject();
  json.Field("query", entry.query).Field("start", IsoTime(entry.start_ms));
  json.Field("end", IsoTime(entry.end_ms));
  json.Field("step", entry.step_ms / 1000).EndObject();
  if (!entry.error.empty()) json.Field("error", entry.error);
  json.Key("stats").Raw(entry.stats);
  json.Key("httpRequest").BeginObject().Field("clientIP", entry.client);
  json.Field("method", entry.method).Field("path", entry.path).EndObject();
  json.EndObject();
  return line + "\n";
}

void QueryLog::Open() {
  file_ = nullptr;
  if (settings_.path.empty()) return;
  auto file = fs_->OpenWritable(settings_.path, FileSystem::WriteMode::kAppend);
  if (!file.ok()) {
    logger_.Warn("query_log", "queries are not logged: {}",
                 Message(file.status()));
    return;
  }
  file_ = *std::move(file);
}

void QueryLog::Add(const QueryLogSettings& settings,
                   const QueryLogEntry& entry) {
  MutexLock lock(&mutex_);
  if (!(settings == settings_)) {
    settings_ = settings;
    Open();
  }
  if (file_ == nullptr) return;
  const absl::Status status =
      file_->Append(QueryLogLine(entry, clock_->NowMs()));
  if (status.ok()) return;
  logger_.Warn("query_log", "no more queries are logged until a reload: {}",
               Message(status));
  file_ = nullptr;
}

}  // namespace varve
