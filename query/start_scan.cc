#include "query/start_scan.h"

#include "query/histogram_arithmetic.h"
#include "query/select.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

class StartScan final : public Operator {
 public:
  StartScan(const PlanNode& node, EvalContext& context, StepGrid grid)
      : Operator(context, grid),
        node_(node),
        selection_(context, As<VectorSelector>(*node.expr), node, grid,
                   context.lookback_ms) {}

  bool SetBatches(const Batching& batching) override {
    return selection_.SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(std::vector<SeriesInfo> * infos, selection_.Read());
    for (SeriesInfo& info : *infos) DropName(context_.options, &info);
    return infos;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    const auto cursor = selection_.NextCursor(&row->series);
    if (cursor == nullptr) return false;
    row->Clear(grid_.count);
    VARVE_RETURN_IF_ERROR(Fill(*cursor, row));
    return true;
  }

 private:
  struct Last {
    bool shown = false;  ///< there is one, and no stale marker
    int64_t timestamp_ms = 0;
    int64_t start_ms = kNoStartTimestamp;
  };

  absl::Status Fill(SeriesCursor& cursor, Row* row) {
    Last last;
    int64_t step = 0;
    while (step < grid_.count) {
      VARVE_RETURN_IF_ERROR(context_.query.Check());
      VARVE_ASSIGN_OR_RETURN(const bool more, cursor.Next(&columns_));
      if (!more) break;
      const auto samples = static_cast<int64_t>(columns_.size());
      VARVE_RETURN_IF_ERROR(context_.query.ChargeSamples(samples));
      context_.query.ReleaseSamples(samples);
      for (size_t i = 0; i < columns_.size(); ++i) {
        const int64_t t = columns_.timestamps[i];
        for (; step < grid_.count && ReferenceMs(step) < t; ++step) {
          Emit(step, last, row);
        }
        last = SampleAt(i);
      }
    }
    for (; step < grid_.count; ++step) Emit(step, last, row);
    return absl::OkStatus();
  }

  Last SampleAt(size_t i) const {
    const bool stale = columns_.kind == SampleColumns::Kind::kFloat
                           ? IsStaleNan(columns_.values[i])
                           : IsStale(*columns_.histograms[i]);
    return {!stale, columns_.timestamps[i],
            columns_.start_timestamps.empty() ? kNoStartTimestamp
                                              : columns_.start_timestamps[i]};
  }

  int64_t ReferenceMs(int64_t step) const {
    return node_.anchor.Resolve(grid_.At(step));
  }

  void Emit(int64_t step, const Last& last, Row* row) {
    if (!last.shown ||
        last.timestamp_ms <= ReferenceMs(step) - context_.lookback_ms) {
      return;
    }
    ++context_.samples_total;
    row->values[static_cast<size_t>(step)] =
        static_cast<double>(last.start_ms) / 1000;
  }

  const PlanNode& node_;
  Selection selection_;
  SampleColumns columns_;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeStartScan(const PlanNode& selector,
                                          EvalContext& context,
                                          const StepGrid& grid) {
  return std::make_unique<StartScan>(selector, context, grid);
}

}  // namespace varve::promql
