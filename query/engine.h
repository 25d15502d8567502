#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>

#include "query/value.h"
#include "storage/query_context.h"
#include "storage/series_source.h"

namespace varve::promql {

struct EngineOptions {
  /// How far an instant selector looks back: the window is left-open.
  int64_t lookback_ms = 5 * 60 * 1000;
  /// Step of a subquery that names none: global.evaluation_interval.
  int64_t subquery_step_ms = 60 * 1000;
  /// --enable-feature=promql-delayed-name-removal.
  bool delayed_name_removal = false;
  /// --enable-feature=use-start-timestamps: start timestamps tell counter
  /// resets. Prometheus leaves them unused by default.
  bool use_start_timestamps = false;
  /// Threads that one query may use, the caller's included.
  int threads_max = 1;
};

struct QueryParameters {
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  /// 0: an instant query at start_ms (== end_ms). Else a range query.
  int64_t step_ms = 0;
  /// Overrides EngineOptions::lookback_ms when > 0.
  int64_t lookback_ms = 0;
  /// Not kNone: the result is its explanation, and nothing else.
  ExplainMode explain = ExplainMode::kNone;
};

/// Evaluates PromQL over a source. Errors: InvalidArgument (parse and type
/// errors: bad_data), FailedPrecondition (execution: 422), Unimplemented (a
/// construct that is known and not evaluated yet: 422), ResourceExhausted (over
/// budget: 422), Cancelled, DeadlineExceeded, Internal. Thread-safe.
class Engine {
 public:
  explicit Engine(EngineOptions options) : options_(options) {}

  absl::StatusOr<QueryResult> Run(QueryContext& context,
                                  const SeriesSource& source,
                                  std::string_view query,
                                  const QueryParameters& parameters) const;

  const EngineOptions& options() const { return options_; }

 private:
  const EngineOptions options_;
};

}  // namespace varve::promql
