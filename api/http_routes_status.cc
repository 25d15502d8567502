#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <thread>

#include "api/http_params.h"
#include "api/http_routes.h"
#include "api/json_writer.h"

namespace varve {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
// Go's zero time, which stands for "never".
constexpr std::string_view kNever = "\"0001-01-01T00:00:00Z\"";

std::string LowerCase(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return out;
}

/// "15d or 10GiB", as Prometheus puts it.
std::string FormatRetention(const RetentionPolicy& policy) {
  std::string out;
  if (policy.time_ms > 0) out = FormatDurationMs(policy.time_ms);
  if (policy.bytes == 0) return out;
  return out + (out.empty() ? "" : " or ") + FormatByteSize(policy.bytes);
}

void WriteTarget(const ActiveTarget& target, JsonWriter* json) {
  json->BeginObject();
  json->Key("discoveredLabels").Value(target.discovered_labels);
  json->Key("labels").Value(target.labels);
  json->Field("scrapePool", target.scrape_pool);
  json->Field("scrapeUrl", target.scrape_url);
  json->Field("globalUrl", target.global_url);
  json->Field("lastError", target.last_error);
  json->Key("lastScrape");
  if (target.last_scrape_ms == 0) {
    json->Raw(kNever);
  } else {
    json->Time(target.last_scrape_ms * kNsPerMs);
  }
  json->Key("lastScrapeDuration").Number(target.last_scrape_duration_seconds);
  json->Field("health", TargetHealthName(target.health));
  json->Field("scrapeInterval", target.scrape_interval);
  json->Field("scrapeTimeout", target.scrape_timeout);
  json->EndObject();
}

void WriteEntries(std::string_view key,
                  const std::vector<CardinalityStats::Entry>& entries,
                  JsonWriter* json) {
  json->Key(key).BeginArray();
  for (const auto& [name, value] : entries) {
    json->BeginObject().Field("name", name).Field("value", value).EndObject();
  }
  json->EndArray();
}

std::string WorkingDirectory() {
  char buffer[PATH_MAX];
  return ::getcwd(buffer, sizeof(buffer)) == nullptr ? "" : buffer;
}

std::string HostName() {
  char buffer[256] = {};
  return ::gethostname(buffer, sizeof(buffer) - 1) != 0 ? "" : buffer;
}

void WriteBuildInfo(JsonWriter* json) {
  // Clients choose what to ask for by this version, so it is the one of the
  // Prometheus whose API this is; varve's own stands beside it.
  json->BeginObject()
      .Field("version", "3.14.0")
      .Field("revision", Revision())
      .Field("branch", fmt::format("varve-{}", Version()))
      .Field("buildUser", "")
      .Field("buildDate", BuildDate())
      .Field("goVersion", "")
      .EndObject();
}

}  // namespace

WebResponse HttpRoutes::Targets(WebRequest& request) {
  const std::string state = LowerCase(request.Param("state"));
  const bool all = state.empty() || state == "any";
  const bool dropped = all || state == "dropped";
  const std::string_view pool = request.Param("scrapePool");
  const TargetsView view = db().Targets();
  std::string data;
  JsonWriter json(&data);
  json.BeginObject().Key("activeTargets").BeginArray();
  if (all || state == "active") {
    for (const ActiveTarget& target : view.active) {
      if (pool.empty() || target.scrape_pool == pool) {
        WriteTarget(target, &json);
      }
    }
  }
  json.EndArray().Key("droppedTargets").BeginArray();
  for (const DroppedTarget& target : view.dropped) {
    if (!dropped || (!pool.empty() && target.scrape_pool != pool)) continue;
    json.BeginObject().Key("discoveredLabels").Value(target.discovered_labels);
    json.Field("scrapePool", target.scrape_pool).EndObject();
  }
  json.EndArray().Key("droppedTargetCounts");
  if (dropped) {
    json.BeginObject();
    for (const auto& [name, count] : view.dropped_counts) {
      json.Field(name, count);
    }
    json.EndObject();
  } else {
    json.Null();
  }
  json.EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::ScrapePools(WebRequest&) {
  std::string data;
  JsonWriter json(&data);
  json.BeginObject().Key("scrapePools").BeginArray();
  for (const std::string& pool : db().Targets().pools) json.String(pool);
  json.EndArray().EndObject();
  return ApiSuccess(data);
}

// There can be no rules yet; the parameters are checked all the same.
WebResponse HttpRoutes::Rules(WebRequest& request) {
  const std::string type = LowerCase(request.Param("type"));
  if (!type.empty() && type != "alert" && type != "record") {
    return ApiError(InvalidParam(
        "type", fmt::format("not supported value {}", Quote(type))));
  }
  if (auto s = SelectorParams(request); !s.ok()) return ApiError(s.status());
  if (!request.Param("group_next_token").empty() &&
      request.Param("group_limit").empty()) {
    return ApiError(InvalidParam("group_next_token",
                                 "group_limit needs to be present in order to "
                                 "paginate over the groups"));
  }
  return ApiSuccess(R"({"groups":[]})");
}

WebResponse HttpRoutes::Alerts(WebRequest&) {
  return ApiSuccess(R"({"alerts":[]})");
}

WebResponse HttpRoutes::Alertmanagers(WebRequest&) {
  return ApiSuccess(R"({"activeAlertmanagers":[],"droppedAlertmanagers":[]})");
}

WebResponse HttpRoutes::Notifications(WebRequest&) { return ApiSuccess("[]"); }

WebResponse HttpRoutes::BuildInfo(WebRequest&) {
  std::string data;
  JsonWriter json(&data);
  WriteBuildInfo(&json);
  return ApiSuccess(data);
}

WebResponse HttpRoutes::VersionText(WebRequest&) {
  WebResponse response;
  response.Set("Content-Type", "text/plain; charset=utf-8");
  JsonWriter json(&response.body);
  WriteBuildInfo(&json);
  return response;
}

WebResponse HttpRoutes::RuntimeInfo(WebRequest&) {
  const ConfigStatus config = db().Config();
  const DbStats stats = db().Stats();
  std::string data;
  JsonWriter json(&data);
  json.BeginObject();
  json.Key("startTime").Time(started_ns_);
  json.Field("CWD", WorkingDirectory());
  json.Field("hostname", HostName());
  json.Key("serverTime").Time(options_.clock->NowMs() * kNsPerMs);
  json.Key("reloadConfigSuccess").Bool(config.last_reload_ok);
  json.Key("lastConfigTime").Time(config.last_success_ms * kNsPerMs);
  json.Field("corruptionCount", stats.wal_corruptions + stats.blocks_damaged);
  json.Field("goroutineCount", int64_t{0});
  json.Field("GOMAXPROCS",
             static_cast<int64_t>(std::thread::hardware_concurrency()));
  json.Field("GOMEMLIMIT", int64_t{0});
  json.Field("GOGC", "").Field("GODEBUG", "");
  json.Field("storageRetention", FormatRetention(config.retention));
  json.EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::ConfigText(WebRequest&) {
  std::string data;
  JsonWriter(&data).BeginObject().Field("yaml", db().Config().yaml).EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::Flags(WebRequest&) {
  std::string data;
  JsonWriter json(&data);
  json.BeginObject();
  for (const auto& [name, value] : options_.flags) json.Field(name, value);
  json.EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::TsdbStatus(WebRequest& request) {
  int64_t limit = 10;
  if (const std::string_view text = request.Param("limit"); !text.empty()) {
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), limit);
    if (error != std::errc() || end != text.data() + text.size() || limit < 1) {
      return ApiError(
          absl::InvalidArgumentError("limit must be a positive number"));
    }
  }
  const DbStats stats = db().Stats();
  const CardinalityStats cardinality =
      db().Cardinality(static_cast<size_t>(std::min<int64_t>(limit, 10000)));
  std::string data;
  JsonWriter json(&data);
  json.BeginObject().Key("headStats").BeginObject();
  json.Field("numSeries", stats.head_series);
  json.Field("numLabelPairs", cardinality.label_pairs);
  json.Field("chunkCount", stats.head_chunks);
  json.Field("minTime", stats.head_min_ms);
  json.Field("maxTime", stats.head_max_ms);
  json.EndObject();
  WriteEntries("seriesCountByMetricName", cardinality.series_by_metric, &json);
  WriteEntries("labelValueCountByLabelName", cardinality.values_by_label,
               &json);
  WriteEntries("memoryInBytesByLabelName", cardinality.bytes_by_label, &json);
  WriteEntries("seriesCountByLabelValuePair", cardinality.series_by_pair,
               &json);
  json.EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::WalReplay(WebRequest&) {
  static const ReplayProgress unknown;
  const ReplayProgress& p = options_.progress ? *options_.progress : unknown;
  return ApiSuccess(fmt::format(R"({{"min":{},"max":{},"current":{}}})",
                                p.segment_min.load(), p.segment_max.load(),
                                p.segment.load()));
}

}  // namespace varve
