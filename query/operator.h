#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "query/annotations.h"
#include "query/engine.h"
#include "storage/histogram.h"
#include "storage/labels.h"
#include "storage/query_context.h"
#include "storage/sample.h"
#include "storage/series_source.h"

namespace varve::promql {

/// The times at which an expression is evaluated. An instant query and a
/// step-invariant part have one step.
struct StepGrid {
  int64_t start_ms = 0;
  int64_t step_ms = 1;  ///< > 0, also when there is one step
  int64_t count = 1;    ///< >= 0

  int64_t At(int64_t step) const { return start_ms + step * step_ms; }
  int64_t end_ms() const { return At(count - 1); }
  friend bool operator==(const StepGrid&, const StepGrid&) = default;
};

/// One output series of an operator.
struct SeriesInfo {
  Labels labels;
  /// The metric name is to be removed at the end of the query (delayed name
  /// removal). Without that feature names are removed at once and this is
  /// always false.
  bool drop_name = false;
};

using HistogramPtr = std::shared_ptr<const FloatHistogram>;

/// One series over all steps of the operator's grid, as columns.
///
/// At each step there is a float (values[i]), or a histogram (histograms[i]
/// not null; values[i] is then the stale NaN), or nothing (values[i] is the
/// stale NaN). The stale NaN is compared as bits (IsStaleNan), since any other
/// NaN is a value. A reused object keeps its memory.
struct Row {
  /// Index into the operator's Series().
  uint32_t series = 0;
  /// One per step.
  std::vector<double> values;
  /// One per step, or empty when the row holds no histogram at all.
  std::vector<HistogramPtr> histograms;

  bool HasHistogram(size_t step) const {
    return !histograms.empty() && histograms[step] != nullptr;
  }
  bool HasFloat(size_t step) const { return !IsStaleNan(values[step]); }
  bool Has(size_t step) const { return HasFloat(step) || HasHistogram(step); }
  /// All steps absent.
  void Clear(int64_t steps) {
    values.assign(static_cast<size_t>(steps), StaleNan());
    histograms.clear();
  }
  void SetFloat(size_t step, double value) {
    values[step] = value;
    if (!histograms.empty()) histograms[step] = nullptr;
  }
  void SetHistogram(size_t step, HistogramPtr histogram) {
    if (histograms.empty()) histograms.resize(values.size());
    histograms[step] = std::move(histogram);
    values[step] = StaleNan();
  }
  void Remove(size_t step) { SetFloat(step, StaleNan()); }
};

struct PlanNode;
struct OperatorCost;

/// What all operators of one query share. Outlives them.
struct EvalContext {
  QueryContext& query;
  const SeriesSource& source;
  const EngineOptions& options;
  Annotations& annotations;
  int64_t lookback_ms = 0;
  /// Samples that selectors handed to operators, as Prometheus counts them.
  int64_t samples_total = 0;
  /// Where costs are gathered; null: nobody wants to know. See explain.h.
  std::unordered_map<const PlanNode*, OperatorCost>* profile = nullptr;
};

/// What a consumer needs of series that come in batches.
struct Batching {
  /// The only labels whose values matter (the metric's name and metadata may
  /// come as well), or null: all. Outlives the operators.
  const std::vector<std::string>* labels = nullptr;
  /// An operator on the way takes the metadata labels away, and label sets must
  /// be unique without them, since nothing is kept to compare them with.
  bool names_drop = false;
};

/// The error by which Series() says, before it has given a batch with it, that
/// a series makes batches impossible: all must be begun again without.
absl::Status NotInBatches();
bool IsNotInBatches(const absl::Status& status);

/// A running part of a query: gives one row per output series, each row once.
///
/// Use: Series() once, then Next() until it gives false. Instant and range
/// queries are the same thing: all rows cover the whole grid. A scalar
/// expression is an operator with exactly one series without labels whose row
/// has a float at every step (NaN where there is nothing).
///
/// Operators pull from the operators that they own; nothing is computed before
/// it is asked for. Rows come in the order in which Prometheus would list the
/// series of an instant vector, which is not necessarily ascending; a series
/// may have no row at all, which is the same as a row without points. Label
/// sets of Series() are unique except where the header of an operator says
/// otherwise; MakeMergeDuplicates (query/merge_duplicates.h) restores that.
///
/// Memory that grows with the number of series or groups is charged to
/// context.query. Single-thread.
class Operator {
 public:
  explicit Operator(EvalContext& context, StepGrid grid)
      : context_(context), grid_(grid) {}
  virtual ~Operator() = default;
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  /// To be called before Series(), if at all. True: Series() gives not all
  /// series but some, in memory that does not grow with their number. When
  /// their rows have been read it is called again, until it gives none; what it
  /// gave before is then gone. Rows are numbered within their batch. False:
  /// nothing has changed.
  virtual bool SetBatches(const Batching&) { return false; }

  /// All output series, densely numbered. Valid as long as the operator. Call
  /// it once (but see SetBatches) and before Next().
  virtual absl::StatusOr<const std::vector<SeriesInfo>*> Series() = 0;
  /// Fills `row` (all steps) and returns true, or false after the last row.
  virtual absl::StatusOr<bool> Next(Row* row) = 0;

  const StepGrid& grid() const { return grid_; }
  size_t steps() const { return static_cast<size_t>(grid_.count); }

 protected:
  EvalContext& context_;
  const StepGrid grid_;
};

using OperatorPtr = std::unique_ptr<Operator>;

/// Runs a scalar operator: one value per step.
absl::StatusOr<std::vector<double>> ReadScalar(Operator& scalar);

/// The labels that say what a metric is: its name, type and unit.
inline bool IsMetadataLabel(std::string_view name) {
  return name == kMetricName || name == "__type__" || name == "__unit__";
}
Labels WithoutMetadataLabels(const Labels& labels);

/// Takes the metadata labels away, as most functions and operators do with
/// their input. With delayed name removal it only marks the series.
void DropName(const EngineOptions& options, SeriesInfo* series);

}  // namespace varve::promql
