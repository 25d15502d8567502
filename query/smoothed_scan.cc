#include "query/smoothed_scan.h"

#include "query/range_extended.h"
#include "query/sample_reader.h"
#include "query/select.h"
#include "query/window_plan.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

class SmoothedScan final : public Operator {
 public:
  SmoothedScan(const PlanNode& node, EvalContext& context, StepGrid grid)
      : Operator(context, grid),
        node_(node),
        selection_(context, As<VectorSelector>(*node.expr), node, grid, 0),
        reader_(context, node.derive_hints) {}

  bool SetBatches(const Batching& batching) override {
    return selection_.SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(infos_, selection_.Read());
    return infos_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    const auto cursor = selection_.NextCursor(&row->series);
    if (cursor == nullptr) return false;
    row->Clear(grid_.count);
    VARVE_RETURN_IF_ERROR(reader_.Read(*cursor, &samples_));
    PlanWindows(samples_.times, node_, grid_, &plan_);
    PlanWindows(samples_.histogram_times, node_, grid_, &histogram_plan_);
    for (size_t step = 0; step < steps(); ++step) Fill(step, row);
    return true;
  }

 private:
  /// The nearest samples around a time among those of one kind in its window.
  struct Around {
    static constexpr size_t kNone = SIZE_MAX;
    size_t before = kNone;  ///< at the time or before it
    size_t after = kNone;
  };

  static Around Find(const std::vector<int64_t>& times, const WindowPlan& plan,
                     size_t step, int64_t at) {
    Around around;
    for (size_t i = plan.begin[step]; i < plan.end[step]; ++i) {
      if (times[i] <= at) {
        around.before = i;
      } else {
        around.after = i;
        break;
      }
    }
    return around;
  }

  void Fill(size_t step, Row* row) {
    const int64_t at =
        node_.anchor.Resolve(grid_.At(static_cast<int64_t>(step)));
    const Around f = Find(samples_.times, plan_, step, at);
    const Around h = Find(samples_.histogram_times, histogram_plan_, step, at);
    const bool floats = plan_.count(step) > 0;
    const bool histograms = histogram_plan_.count(step) > 0;
    context_.samples_total +=
        static_cast<int64_t>(plan_.count(step) + histogram_plan_.count(step));
    const std::string_view metric = (*infos_)[row->series].labels.metric_name();
    if (floats && histograms) {
      context_.annotations.MixedFloatsHistograms(metric, node_.position());
    } else if (floats && f.before != Around::kNone) {
      FillFloat(f, at, step, row);
    } else if (histograms && h.before != Around::kNone) {
      FillHistogram(h, at, step, metric, row);
    }
  }

  void FillFloat(const Around& a, int64_t at, size_t step, Row* row) {
    const double before = samples_.values[a.before];
    if (a.after == Around::kNone || samples_.times[a.before] == at) {
      row->SetFloat(step, before);
      return;
    }
    row->SetFloat(step, Interpolate(samples_.times[a.before], before,
                                    samples_.times[a.after],
                                    samples_.values[a.after], at));
  }

  void FillHistogram(const Around& a, int64_t at, size_t step,
                     std::string_view metric, Row* row) {
    const HistogramPtr& before = samples_.histograms[a.before];
    const int64_t t1 = samples_.histogram_times[a.before];
    if (a.after == Around::kNone || t1 == at) {
      row->SetHistogram(step, before);
      return;
    }
    const FloatHistogram& after = *samples_.histograms[a.after];
    const int64_t t2 = samples_.histogram_times[a.after];
    const double fraction =
        static_cast<double>(at - t1) / static_cast<double>(t2 - t1);
    if (UsesCustomBuckets(*before) == UsesCustomBuckets(after) &&
        IsReset(after, *before)) {
      // The counter began again at zero.
      row->SetHistogram(step, std::make_shared<const FloatHistogram>(
                                  Multiplied(after, fraction)));
      return;
    }
    HistogramSum sum(Multiplied(*before, 1 - fraction));
    if (sum.Add(Multiplied(after, fraction)).incompatible) {
      context_.annotations.MixedExponentialCustom(metric, node_.position());
      return;
    }
    row->SetHistogram(step,
                      std::make_shared<const FloatHistogram>(sum.Result()));
  }

  const PlanNode& node_;
  Selection selection_;
  const std::vector<SeriesInfo>* infos_ = nullptr;
  SampleReader reader_;
  RangeSeries samples_;
  WindowPlan plan_;
  WindowPlan histogram_plan_;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeSmoothedScan(const PlanNode& node,
                                             EvalContext& context,
                                             const StepGrid& grid,
                                             ScanValue value) {
  if (value != ScanValue::kSample) {
    return Unimplemented(
        "timestamp() of a smoothed selector is not implemented yet");
  }
  return std::make_unique<SmoothedScan>(node, context, grid);
}

}  // namespace varve::promql
