#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "query/bounds.h"
#include "query/operator.h"
#include "query/plan.h"
#include "query/select.h"

namespace varve::promql {

/// The labels by which info() finds the info metrics of a series.
inline constexpr std::string_view kIdentifyingLabels[] = {"instance", "job"};

/// The values of the identifying labels; "" where a series has none.
struct InfoIdentity {
  std::string values[std::size(kIdentifyingLabels)];

  static InfoIdentity Of(const Labels& labels);
  bool empty() const;
  friend auto operator<=>(const InfoIdentity&, const InfoIdentity&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const InfoIdentity& id) {
    return H::combine(std::move(h), id.values[0], id.values[1]);
  }
};

/// The series of info metrics that a call of info() looks at, and which of
/// those that compete says something at each step: the one whose sample is the
/// newest. Memory is charged to the query. Single-thread.
class InfoTable {
 public:
  static constexpr int32_t kNone = -1;

  /// The series of one metric with the same identity: for each step the place
  /// (in series()) of the one that counts, or kNone.
  struct Metric {
    std::vector<int32_t> newest;
    std::vector<int64_t> newest_ms;  ///< the times of those samples
  };

  /// `anchor` says which samples may be seen: those that the selector with it
  /// would have asked for.
  InfoTable(EvalContext& context, const StepGrid& grid,
            const TimeAnchor& anchor);

  /// Selects by `matchers` and reads all that has one of the identities'
  /// values. Call it once.
  absl::Status Read(std::vector<Matcher> matchers,
                    const std::set<InfoIdentity>& identities);

  const Labels& LabelsOf(int32_t series) const {
    return (*series_)[static_cast<size_t>(series)].labels;
  }
  /// By ascending metric name; empty when there are none.
  std::vector<const Metric*> MetricsOf(const InfoIdentity& identity) const;
  /// What makes it impossible to answer at a step at which there is something
  /// to add labels to; OK if nothing does.
  absl::Status Problem(size_t step) const;
  bool has_problems() const { return !problems_.empty(); }

 private:
  /// Two series of a metric with samples of the same time, or one (twice) that
  /// has a histogram.
  struct Clash {
    int32_t existing = kNone;
    int32_t added = kNone;
    int64_t timestamp_ms = 0;
  };
  /// The newest sample of a series at a step.
  struct Seen {
    bool known = false;
    bool stale = false;
    bool histogram = false;
    int64_t timestamp_ms = 0;
  };

  absl::Status ReadSeries(SeriesCursor& cursor, int32_t series);
  void Show(size_t step, const Seen& seen, int32_t series, Metric* metric);

  EvalContext& context_;
  const StepGrid grid_;
  VectorSelector selector_;
  PlanNode node_;
  Selection selection_;
  const std::vector<SeriesInfo>* series_ = nullptr;
  absl::flat_hash_map<InfoIdentity, std::map<std::string, Metric, std::less<>>>
      metrics_;
  std::map<size_t, Clash> problems_;  ///< the first of each step
  HeldBytes held_;
};

}  // namespace varve::promql
