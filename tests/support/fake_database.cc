#include "tests/support/fake_database.h"

#include <algorithm>

namespace varve {
namespace {

template <typename T>
Listing<T> Finish(std::vector<T> items, int64_t limit) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  Listing<T> out;
  out.truncated = limit > 0 && items.size() > static_cast<size_t>(limit);
  if (out.truncated) items.resize(static_cast<size_t>(limit));
  out.items = std::move(items);
  return out;
}

SelectHints HintsOf(const ListingRange& range) {
  SelectHints hints;
  hints.start_ms = range.start_ms;
  hints.end_ms = range.end_ms;
  return hints;
}

// Every selector, or one that takes everything.
std::vector<std::vector<Matcher>> SelectorsOf(const ListingRange& range) {
  if (!range.selectors.empty()) return range.selectors;
  return std::vector<std::vector<Matcher>>(1);
}

}  // namespace

absl::Status FakeDatabase::Append(const Labels& labels, int64_t timestamp_ms,
                                  double value) {
  map.Add(labels, timestamp_ms, value);
  return absl::OkStatus();
}

std::unique_ptr<QueryContext> FakeDatabase::NewQueryContext(
    int64_t timeout_ms, int64_t began_ns) const {
  QueryContext::Limits limits;
  if (began_ns == 0) began_ns = options.clock->MonotonicNs();
  if (timeout_ms != 0) limits.deadline_ns = began_ns + timeout_ms * 1'000'000;
  return std::make_unique<QueryContext>(options.clock, limits);
}

absl::StatusOr<promql::QueryResult> FakeDatabase::Query(
    QueryContext& context, std::string_view query, int64_t time_ms,
    int64_t lookback_ms) const {
  return promql::Engine({}).Run(context, map, query,
                                {time_ms, time_ms, 0, lookback_ms});
}

absl::StatusOr<promql::QueryResult> FakeDatabase::QueryRange(
    QueryContext& context, std::string_view query, int64_t start_ms,
    int64_t end_ms, int64_t step_ms, int64_t lookback_ms) const {
  return promql::Engine({}).Run(context, map, query,
                                {start_ms, end_ms, step_ms, lookback_ms});
}

absl::StatusOr<promql::Explanation> FakeDatabase::Explain(
    QueryContext& context, std::string_view query, int64_t start_ms,
    int64_t end_ms, int64_t step_ms, bool analyze) const {
  promql::QueryParameters parameters;
  parameters.start_ms = start_ms;
  parameters.end_ms = end_ms;
  parameters.step_ms = step_ms;
  parameters.explain =
      analyze ? promql::ExplainMode::kAnalyze : promql::ExplainMode::kPlan;
  VARVE_ASSIGN_OR_RETURN(
      const promql::QueryResult result,
      promql::Engine({}).Run(context, map, query, parameters));
  return *result.explanation;
}

absl::StatusOr<Listing<Labels>> FakeDatabase::Series(
    QueryContext& context, const ListingRange& range) const {
  std::vector<Labels> found;
  for (const auto& matchers : range.selectors) {
    VARVE_ASSIGN_OR_RETURN(const auto set,
                           map.Select(context, matchers, HintsOf(range)));
    while (*set->Next()) found.push_back(set->labels());
  }
  return Finish(std::move(found), range.limit);
}

absl::StatusOr<Listing<std::string>> FakeDatabase::LabelNames(
    QueryContext& context, const ListingRange& range) const {
  std::vector<std::string> found;
  for (const auto& matchers : SelectorsOf(range)) {
    VARVE_ASSIGN_OR_RETURN(const auto some,
                           map.LabelNames(context, matchers, HintsOf(range)));
    found.insert(found.end(), some.begin(), some.end());
  }
  return Finish(std::move(found), range.limit);
}

absl::StatusOr<Listing<std::string>> FakeDatabase::LabelValues(
    QueryContext& context, std::string_view name,
    const ListingRange& range) const {
  std::vector<std::string> found;
  for (const auto& matchers : SelectorsOf(range)) {
    VARVE_ASSIGN_OR_RETURN(
        const auto some,
        map.LabelValues(context, name, matchers, HintsOf(range)));
    found.insert(found.end(), some.begin(), some.end());
  }
  return Finish(std::move(found), range.limit);
}

}  // namespace varve
