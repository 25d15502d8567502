#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/series_source.h"

namespace varve {

/// SeriesSource over a plain map: the naive twin that tests compare with and
/// run queries on. Fill it before use; reading is thread-safe.
class MapSource final : public SeriesSource {
 public:
  struct Point {
    int64_t timestamp_ms = 0;
    double value = 0;
    std::shared_ptr<const Histogram> histogram;  ///< null: a float
    int64_t start_timestamp_ms = kNoStartTimestamp;
  };
  struct Less {
    bool operator()(const Labels& a, const Labels& b) const {
      return SeriesLess(a, b);
    }
  };
  /// Points by time, so that they are sorted and unique.
  using Points = std::map<int64_t, Point>;

  void Add(const Labels& labels, int64_t timestamp_ms, double value,
           int64_t start_ms = kNoStartTimestamp);
  void Add(const Labels& labels, int64_t timestamp_ms, Histogram histogram,
           int64_t start_ms = kNoStartTimestamp);
  const std::map<Labels, Points, Less>& series() const { return series_; }

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override;
  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const override;
  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers,
      const SelectHints& hints) const override;

 private:
  std::map<Labels, Points, Less> series_;
};

}  // namespace varve
