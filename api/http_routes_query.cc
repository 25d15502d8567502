#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/http_explain.h"
#include "api/http_params.h"
#include "api/http_routes.h"
#include "api/json_writer.h"

namespace varve {
namespace {

using promql::QueryResult;
using promql::ResultHistogram;
using promql::ResultPoint;
using promql::ResultSeries;
using promql::ValueType;

constexpr int64_t kPointsMax = 11000;
constexpr int64_t kNsPerMs = 1'000'000;

std::string_view ResultTypeName(ValueType type) {
  switch (type) {
    case ValueType::kScalar:
      return "scalar";
    case ValueType::kVector:
      return "vector";
    case ValueType::kMatrix:
      return "matrix";
    case ValueType::kString:
      return "string";
    case ValueType::kNone:
      break;
  }
  return "none";
}

// Writes a query's answer piece by piece, so that a large one is not held
// twice.
class AnswerWriter {
 public:
  AnswerWriter(QueryResult result, std::string stats)
      : result_(std::move(result)), stats_(std::move(stats)) {}

  /// Appends the next piece; returns whether there is more.
  bool Next(std::string* out) {
    if (!begun_) {
      begun_ = true;
      Begin(out);
      return true;
    }
    if (at_ < result_.series.size()) {
      if (at_ > 0) out->push_back(',');
      Series(result_.series[at_++], out);
      return true;
    }
    End(out);
    return false;
  }

 private:
  bool listed() const {
    return result_.type == ValueType::kVector ||
           result_.type == ValueType::kMatrix;
  }

  void Begin(std::string* out) const {
    fmt::format_to(std::back_inserter(*out),
                   R"({{"status":"success","data":{{"resultType":"{}",)"
                   R"("result":)",
                   ResultTypeName(result_.type));
    if (listed()) {
      out->push_back('[');
    } else if (result_.type == ValueType::kScalar) {
      std::string digits;
      AppendScalarValue(&digits, result_.scalar.value);
      Single(result_.scalar.timestamp_ms, digits, out);
    } else {
      Single(result_.string_ms, result_.string, out);
    }
  }

  // Prometheus writes the time of scalars and strings as any JSON number.
  static void Single(int64_t ms, std::string_view text, std::string* out) {
    out->push_back('[');
    AppendJsonNumber(out, static_cast<double>(ms) / 1000);
    out->push_back(',');
    AppendJsonString(out, text);
    out->push_back(']');
  }

  void End(std::string* out) const {
    if (listed()) out->push_back(']');
    out->append(stats_);
    out->push_back('}');
    AppendApiEnd(out, result_.warnings, result_.infos);
  }

  static void Point(const ResultPoint& point, std::string* out) {
    out->push_back('[');
    AppendSampleTime(out, point.timestamp_ms);
    out->append(",\"");
    AppendSampleValue(out, point.value);
    out->append("\"]");
  }

  static void Histogram(const ResultHistogram& h, std::string* out) {
    out->push_back('[');
    AppendSampleTime(out, h.timestamp_ms);
    out->push_back(',');
    AppendJsonHistogram(out, *h.histogram);
    out->push_back(']');
  }

  void Series(const ResultSeries& series, std::string* out) {
    out->append("{\"metric\":");
    AppendJsonLabels(out, series.labels);
    if (result_.type == ValueType::kVector) {
      if (!series.floats.empty()) {
        out->append(",\"value\":");
        Point(series.floats.front(), out);
      } else if (!series.histograms.empty()) {
        out->append(",\"histogram\":");
        Histogram(series.histograms.front(), out);
      }
    } else {
      if (!series.floats.empty()) {
        out->append(",\"values\":[");
        Floats(series.floats, out);
        out->push_back(']');
      }
      if (!series.histograms.empty()) {
        out->append(",\"histograms\":[");
        for (const ResultHistogram& h : series.histograms) {
          if (&h != &series.histograms.front()) out->push_back(',');
          Histogram(h, out);
        }
        out->push_back(']');
      }
    }
    out->push_back('}');
  }

  // The series of a matrix share most of their times, so each is rendered once.
  void Floats(const std::vector<ResultPoint>& points, std::string* out) {
    if (times_.empty()) {
      for (const ResultPoint& p : points) {
        times_.push_back(p.timestamp_ms);
        rendered_.push_back('[');
        AppendSampleTime(&rendered_, p.timestamp_ms);
        rendered_.append(",\"");
        ends_.push_back(rendered_.size());
      }
    }
    size_t at = 0;
    bool first = true;
    for (const ResultPoint& p : points) {
      if (!first) out->push_back(',');
      first = false;
      while (at < times_.size() && times_[at] < p.timestamp_ms) ++at;
      if (at < times_.size() && times_[at] == p.timestamp_ms) {
        const size_t begin = at == 0 ? 0 : ends_[at - 1];
        out->append(rendered_, begin, ends_[at] - begin);
        AppendSampleValue(out, p.value);
        out->append("\"]");
      } else {
        Point(p, out);
      }
    }
  }

  const QueryResult result_;
  const std::string stats_;  // `,"stats":{..}` or ""
  bool begun_ = false;
  size_t at_ = 0;
  std::vector<int64_t> times_;
  std::string rendered_;
  std::vector<size_t> ends_;
};

struct Timing {
  int64_t arrived_ns;
  int64_t began_ns;
  int64_t ended_ns;
};

/// The object that `stats` asks for.
std::string StatsJson(int64_t samples_total, int64_t samples_peak,
                      const Timing& timing) {
  std::string out;
  const double run = static_cast<double>(timing.ended_ns - timing.began_ns);
  const double wait = static_cast<double>(timing.began_ns - timing.arrived_ns);
  JsonWriter json(&out);
  json.BeginObject().Key("timings").BeginObject();
  json.Key("evalTotalTime").Number(run / 1e9);
  json.Key("resultSortTime").Int(0);
  json.Key("queryPreparationTime").Int(0);
  json.Key("innerEvalTime").Number(run / 1e9);
  json.Key("execQueueTime").Number(wait / 1e9);
  json.Key("execTotalTime").Number(run / 1e9);
  json.EndObject().Key("samples").BeginObject();
  json.Field("totalQueryableSamples", samples_total);
  json.Field("peakSamples", samples_peak);
  json.EndObject().EndObject();
  return out;
}

WebResponse QueryError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ApiError(InvalidParam("query", Message(status)));
    case absl::StatusCode::kDeadlineExceeded:
      return ApiError(absl::DeadlineExceededError(
          "query timed out in expression evaluation"));
    case absl::StatusCode::kCancelled:
      return ApiError(
          absl::CancelledError("query was canceled in expression evaluation"));
    default:
      return ApiError(status);
  }
}

// Below zero: the query may not run at all.
absl::StatusOr<int64_t> TimeoutParam(const WebRequest& request) {
  const std::string_view text = request.Param("timeout");
  if (text.empty()) return 0;
  const auto ns = ParseApiDuration(text);
  if (!ns.ok()) return InvalidParam("timeout", Message(ns.status()));
  return *ns < kNsPerMs ? -1 : *ns / kNsPerMs;
}

absl::StatusOr<int64_t> LookbackParam(const WebRequest& request) {
  const std::string_view text = request.Param("lookback_delta");
  if (text.empty()) return 0;
  const auto ns = ParseApiDuration(text);
  if (!ns.ok()) {
    return InvalidArgument("error parsing lookback delta duration: {}",
                           Message(ns.status()));
  }
  return std::max<int64_t>(0, *ns / kNsPerMs);
}

// While it lives, the client's going away cancels the query.
class CancelOnDisconnect {
 public:
  CancelOnDisconnect(WebRequest& request, QueryContext* context)
      : disconnect_(request.disconnect) {
    if (disconnect_) disconnect_->Set([context] { context->Cancel(); });
  }
  ~CancelOnDisconnect() {
    if (disconnect_) disconnect_->Clear();
  }
  CancelOnDisconnect(const CancelOnDisconnect&) = delete;
  CancelOnDisconnect& operator=(const CancelOnDisconnect&) = delete;

 private:
  std::shared_ptr<HttpDisconnect> disconnect_;
};

WebResponse Answer(QueryResult result, int64_t limit, std::string stats) {
  if (limit > 0 && result.series.size() > static_cast<size_t>(limit)) {
    result.series.resize(static_cast<size_t>(limit));
    result.warnings.emplace_back(kTruncatedWarning);
  }
  WebResponse response;
  response.Set("Content-Type", "application/json");
  response.more = [writer = std::make_shared<AnswerWriter>(
                       std::move(result), std::move(stats))](std::string* out) {
    return writer->Next(out);
  };
  return response;
}

struct RangeParams {
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t step_ms = 0;
};

absl::StatusOr<RangeParams> ParseRange(const WebRequest& request) {
  RangeParams out;
  const auto start = ParseApiTime(request.Param("start"));
  if (!start.ok()) return InvalidParam("start", Message(start.status()));
  const auto end = ParseApiTime(request.Param("end"));
  if (!end.ok()) return InvalidParam("end", Message(end.status()));
  if (*end < *start) {
    return InvalidParam("end", "end timestamp must not be before start time");
  }
  const auto step = ParseApiDuration(request.Param("step"));
  if (!step.ok()) return InvalidParam("step", Message(step.status()));
  if (*step <= 0) {
    return InvalidParam("step",
                        "zero or negative query resolution step widths are "
                        "not accepted. Try a positive integer");
  }
  // In floats: times at the ends of the calendar would overflow nanoseconds.
  if (static_cast<double>(*end - *start) * kNsPerMs /
          static_cast<double>(*step) >=
      static_cast<double>(kPointsMax + 1)) {
    return InvalidArgument(
        "exceeded maximum resolution of 11,000 points per timeseries. Try "
        "decreasing the query resolution (?step=XX)");
  }
  out.start_ms = *start;
  out.end_ms = *end;
  out.step_ms = std::max<int64_t>(1, *step / kNsPerMs);
  return out;
}

// The query has waited in its lane as long as it may run.
bool WaitedTooLong(const WebRequest& request, const QueryContext& context) {
  return request.arrived_ns != 0 &&
         context.Check().code() == absl::StatusCode::kDeadlineExceeded;
}

WebResponse QueueTimeout() {
  return ApiError(
      absl::DeadlineExceededError("query timed out in query queue"));
}

bool WantsExplanation(const WebRequest& request) {
  const std::string_view value = request.Param("explain");
  return !value.empty() && value != "0" && value != "false";
}

}  // namespace

/// What Query and QueryRange have in common, and what they do not.
struct HttpRoutes::QueryCall {
  RangeParams range;  ///< step_ms 0: an instant query, at start_ms
  int64_t limit = 0;
  int64_t timeout_ms = 0;
  int64_t lookback_ms = 0;

  absl::StatusOr<QueryResult> Run(const Database& db, QueryContext& context,
                                  std::string_view query) const {
    return range.step_ms == 0
               ? db.Query(context, query, range.start_ms, lookback_ms)
               : db.QueryRange(context, query, range.start_ms, range.end_ms,
                               range.step_ms, lookback_ms);
  }
};

WebResponse HttpRoutes::RunQuery(WebRequest& request, const QueryCall& call) {
  const std::string query(request.Param("query"));
  const auto context =
      db().NewQueryContext(call.timeout_ms, request.arrived_ns);
  const CancelOnDisconnect cancel(request, context.get());
  const QueryRegistry::Running running(&running_, context.get(), query,
                                       request.path, request.client);
  if (WaitedTooLong(request, *context)) return QueueTimeout();
  if (WantsExplanation(request)) return ExplainQuery(request, call, *context);
  Timing timing{request.arrived_ns, options_.clock->MonotonicNs(), 0};
  auto result = call.Run(db(), *context, query);
  timing.ended_ns = options_.clock->MonotonicNs();
  std::string stats = result.ok() ? StatsJson(result->samples_total,
                                              result->samples_peak, timing)
                                  : StatsJson(context->samples(), 0, timing);
  const QueryLogSettings log = db().QueryLog();
  if (!log.path.empty()) {
    query_log_.Add(
        log, {query, call.range.start_ms, call.range.end_ms, call.range.step_ms,
              stats, std::string(Message(result.status())), request.client,
              request.method, request.path});
  }
  if (!result.ok()) return QueryError(result.status());
  stats = request.Param("stats").empty() ? "" : ",\"stats\":" + stats;
  return Answer(*std::move(result), call.limit, std::move(stats));
}

/// `explain=analyze` runs the query; any other value but 0 and false does not.
WebResponse HttpRoutes::ExplainQuery(const WebRequest& request,
                                     const QueryCall& call,
                                     QueryContext& context) {
  const RangeParams& range = call.range;
  const auto explanation = db().Explain(
      context, request.Param("query"), range.start_ms, range.end_ms,
      range.step_ms, request.Param("explain") == "analyze");
  if (!explanation.ok()) return QueryError(explanation.status());
  std::string data = "{\"explanation\":";
  AppendExplanation(*explanation, &data);
  return ApiSuccess(data + "}");
}

WebResponse HttpRoutes::Query(WebRequest& request) {
  QueryCall call;
  VARVE_API_ASSIGN(call.limit, LimitParam(request));
  VARVE_API_ASSIGN(call.range.start_ms,
                   TimeParam(request, "time", options_.clock->NowMs()));
  call.range.end_ms = call.range.start_ms;
  VARVE_API_ASSIGN(call.timeout_ms, TimeoutParam(request));
  VARVE_API_ASSIGN(call.lookback_ms, LookbackParam(request));
  return RunQuery(request, call);
}

WebResponse HttpRoutes::QueryRange(WebRequest& request) {
  QueryCall call;
  VARVE_API_ASSIGN(call.limit, LimitParam(request));
  VARVE_API_ASSIGN(call.range, ParseRange(request));
  VARVE_API_ASSIGN(call.timeout_ms, TimeoutParam(request));
  VARVE_API_ASSIGN(call.lookback_ms, LookbackParam(request));
  return RunQuery(request, call);
}

WebResponse HttpRoutes::QueryExemplars(WebRequest& request) {
  VARVE_API_ASSIGN(const int64_t start,
                   TimeParam(request, "start", kApiTimeMin));
  VARVE_API_ASSIGN(const int64_t end, TimeParam(request, "end", kApiTimeMax));
  if (end < start) {
    return ApiError(absl::InvalidArgumentError(
        "end timestamp must not be before start timestamp"));
  }
  VARVE_API_ASSIGN(const std::vector<ExemplarSeries> found,
                   db().Exemplars(request.Param("query"), start, end));
  std::string data;
  JsonWriter json(&data);
  json.BeginArray();
  for (const ExemplarSeries& series : found) {
    json.BeginObject().Key("seriesLabels").Value(series.labels);
    json.Key("exemplars").BeginArray();
    for (const Exemplar& exemplar : series.exemplars) {
      std::string value;
      AppendSampleValue(&value, exemplar.value);
      std::string time;
      AppendSampleTime(&time, exemplar.timestamp_ms);
      json.BeginObject().Key("labels").Value(exemplar.labels);
      json.Field("value", value).Key("timestamp").Raw(time).EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::FormatQueryText(WebRequest& request) {
  const auto text = FormatQuery(request.Param("query"));
  if (!text.ok()) return QueryError(text.status());
  std::string data;
  AppendJsonString(&data, *text);
  return ApiSuccess(data);
}

WebResponse HttpRoutes::ParseQuery(WebRequest& request) {
  const auto tree = QueryTree(request.Param("query"));
  if (!tree.ok()) return QueryError(tree.status());
  return ApiSuccess(*tree);
}

WebResponse HttpRoutes::NotImplemented(WebRequest& request) {
  return ApiError(
      {"not_implemented", 501},
      fmt::format("{} is not implemented by varve yet", request.path));
}

}  // namespace varve
