#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/db.h"
#include "tests/support/fake_appender.h"
#include "tests/support/map_source.h"

namespace varve {

/// A Db that only takes writes, into a FakeStore.
class FakeDb final : public Db {
 public:
  FakeStore store;

  std::unique_ptr<Appender> BeginAppend() override {
    return store.BeginAppend();
  }
  uint64_t series_epoch() const override { return 1; }
  const SeriesSource& source() const override { return source_; }
  std::vector<std::pair<std::string, Metadata>> FamilyMetadata()
      const override {
    return {store.metadata().begin(), store.metadata().end()};
  }
  absl::StatusOr<std::vector<ExemplarSeries>> Exemplars(
      std::span<const std::vector<Matcher>>, int64_t, int64_t) const override {
    return std::vector<ExemplarSeries>();
  }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Snapshot(bool) override { return std::string(); }
  absl::StatusOr<bool> Maintain() override { return false; }
  void SetRetention(const RetentionPolicy&) override {}
  void SetOutOfOrderWindow(std::optional<int64_t>) override {}
  absl::Status DeleteSeries(const Selectors&, TimeRange) override {
    return absl::OkStatus();
  }
  absl::Status CleanTombstones() override { return absl::OkStatus(); }
  DbStats Stats() const override { return {}; }
  CardinalityStats Cardinality(size_t) const override { return {}; }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  MapSource source_;
};

}  // namespace varve
