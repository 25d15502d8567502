#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/varve.h"
#include "query/engine.h"
#include "tests/support/map_source.h"

namespace varve {

/// A Database over a MapSource and a real engine, without storage and scrapes;
/// for tests of what is built on the interface. What tests set is public.
class FakeDatabase final : public Database {
 public:
  MapSource map;
  TargetsView targets;
  std::vector<TargetMetadata> target_metadata;
  std::vector<std::pair<std::string, Metadata>> metadata;
  std::vector<ExemplarSeries> exemplars;
  ConfigStatus config;
  QueryLogSettings query_log;
  DbStats stats;
  CardinalityStats cardinality;
  RemoteWriteAnswer write_answer;
  absl::Status reload_status;
  absl::Status flush_status;
  absl::Status delete_status;
  std::vector<std::pair<Selectors, TimeRange>> deletions;
  int cleanings = 0;
  DatabaseOptions options;
  std::string last_body;

  absl::Status Append(const Labels&, int64_t, double) override;
  std::unique_ptr<Writer> NewWriter() override { return nullptr; }
  RemoteWriteAnswer RemoteWrite(std::string_view body, std::string_view,
                                std::string_view) override {
    last_body = std::string(body);
    return write_answer;
  }
  std::unique_ptr<QueryContext> NewQueryContext(
      int64_t timeout_ms, int64_t began_ns) const override;
  absl::StatusOr<promql::QueryResult> Query(QueryContext& context,
                                            std::string_view query,
                                            int64_t time_ms,
                                            int64_t lookback_ms) const override;
  absl::StatusOr<promql::QueryResult> QueryRange(
      QueryContext& context, std::string_view query, int64_t start_ms,
      int64_t end_ms, int64_t step_ms, int64_t lookback_ms) const override;
  absl::StatusOr<promql::Explanation> Explain(QueryContext& context,
                                              std::string_view query,
                                              int64_t start_ms, int64_t end_ms,
                                              int64_t step_ms,
                                              bool analyze) const override;
  absl::StatusOr<Listing<Labels>> Series(
      QueryContext& context, const ListingRange& range) const override;
  absl::StatusOr<Listing<std::string>> LabelNames(
      QueryContext& context, const ListingRange& range) const override;
  absl::StatusOr<Listing<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      const ListingRange& range) const override;
  std::vector<std::pair<std::string, Metadata>> FamilyMetadata()
      const override {
    return metadata;
  }
  absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      std::string_view, int64_t, int64_t) const override {
    return exemplars;
  }
  TargetsView Targets() const override { return targets; }
  std::vector<TargetMetadata> MetadataOfTargets() const override {
    return target_metadata;
  }
  absl::Status Reload() override { return reload_status; }
  ConfigStatus Config() const override { return config; }
  QueryLogSettings QueryLog() const override { return query_log; }
  absl::Status Flush() override { return flush_status; }
  absl::StatusOr<std::string> Snapshot(bool skip_head) override {
    if (!flush_status.ok()) return flush_status;
    return std::string(skip_head ? "blocks" : "everything");
  }
  absl::Status DeleteSeries(const std::vector<std::vector<Matcher>>& selectors,
                            int64_t start_ms, int64_t end_ms) override {
    deletions.push_back({selectors, {start_ms, end_ms}});
    return delete_status;
  }
  absl::Status CleanTombstones() override {
    ++cleanings;
    return delete_status;
  }
  DbStats Stats() const override { return stats; }
  ScrapeStats Scrapes() const override { return {}; }
  RemoteWriteTotals RemoteWrites() const override { return {}; }
  CardinalityStats Cardinality(size_t) const override { return cardinality; }
  absl::Status Close() override { return absl::OkStatus(); }
};

}  // namespace varve
