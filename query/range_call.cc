#include <algorithm>

#include "query/bounds.h"
#include "query/functions.h"
#include "query/merge_duplicates.h"
#include "query/range_extended.h"
#include "query/range_functions.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// The index of the range vector among the arguments.
size_t RangeArgument(const PlanNode& node) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i]->type == ValueType::kMatrix) return i;
  }
  VARVE_CHECK(false);
}

/// Applies a range function's kernel to series after series.
class RangeCallOperator final : public Operator {
 public:
  RangeCallOperator(const PlanNode& node, EvalContext& context, StepGrid grid,
                    const RangeFunction& function,
                    std::unique_ptr<RangeInput> input,
                    std::vector<OperatorPtr> scalars)
      : Operator(context, grid),
        node_(node),
        range_(*node.inputs[RangeArgument(node)]),
        function_(function),
        input_(std::move(input)),
        scalar_operators_(std::move(scalars)),
        held_(context.query) {}

  bool SetBatches(const Batching& batching) override {
    return input_->SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    if (scalars_.empty()) VARVE_RETURN_IF_ERROR(ReadScalars());
    VARVE_ASSIGN_OR_RETURN(input_series_, input_->Series());
    VARVE_RETURN_IF_ERROR(held_.SetSeries(*input_series_));
    series_ = *input_series_;
    if (!function_.keeps_name) {
      for (SeriesInfo& info : series_) DropName(context_.options, &info);
    }
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(&samples_));
    if (!more) return false;
    row->series = samples_.series;
    row->Clear(grid_.count);
    const RangeCall call{node_, range_, context_, grid_, scalars_};
    UpdatePlan();
    if (function_.series != nullptr && samples_.histograms.empty() &&
        samples_.starts.empty() && range_.extension == Extension::kNone) {
      function_.series(call, plan_, samples_, row);
      // A kernel that was told to stop has left the row unfinished.
      VARVE_RETURN_IF_ERROR(context_.query.Check());
    } else {
      VARVE_RETURN_IF_ERROR(EachWindow(call, row));
    }
    for (size_t step = 0; step < plan_.begin.size(); ++step) {
      context_.samples_total += static_cast<int64_t>(plan_.count(step));
    }
    RemarkNonCounter(*row);
    return true;
  }

 private:
  absl::Status ReadScalars() {
    for (const OperatorPtr& op : scalar_operators_) {
      scalars_.emplace_back();
      if (op == nullptr) continue;
      VARVE_ASSIGN_OR_RETURN(scalars_.back(), ReadScalar(*op));
    }
    return absl::OkStatus();
  }

  /// The plan of the series before is kept if the timestamps are the same.
  void UpdatePlan() {
    const bool same_ids =
        !samples_.times_ids.empty() && samples_.times_ids == plan_ids_;
    if (planned_ && (same_ids || samples_.times == plan_times_)) return;
    planned_ = true;
    plan_ids_ = samples_.times_ids;
    plan_times_ = samples_.times;
    PlanWindows(samples_.times, range_, grid_, &plan_);
    if (function_.extrapolates) {
      PlanExtrapolation(samples_.times, range_, grid_, &plan_);
    }
  }

  absl::Status EachWindow(const RangeCall& call, Row* row) {
    PlanWindows(samples_.histogram_times, range_, grid_, &histogram_plan_);
    Window window;
    window.metric = (*input_series_)[samples_.series].labels.metric_name();
    const std::span<const int64_t> starts(samples_.starts);
    size_t unchecked = 0;
    for (size_t step = 0; step < steps(); ++step) {
      const uint32_t begin = plan_.begin[step];
      const size_t count = plan_.count(step);
      const uint32_t h_begin = histogram_plan_.begin[step];
      const size_t h_count = histogram_plan_.count(step);
      if (count + h_count == 0) continue;
      unchecked += count + h_count;
      if (unchecked > kSamplesPerCheck) {
        unchecked = 0;
        VARVE_RETURN_IF_ERROR(context_.query.Check());
      }
      window.times = std::span(samples_.times).subspan(begin, count);
      window.values = std::span(samples_.values).subspan(begin, count);
      window.starts = starts.empty() ? starts : starts.subspan(begin, count);
      window.histogram_times =
          std::span(samples_.histogram_times).subspan(h_begin, h_count);
      window.histograms =
          std::span(samples_.histograms).subspan(h_begin, h_count);
      window.histogram_starts =
          std::span(samples_.histogram_starts).subspan(h_begin, h_count);
      window.end_ms = range_.anchor.Resolve(grid_.At(int64_t(step)));
      window.start_ms = window.end_ms - range_.range_ms;
      if (range_.extension == Extension::kNone) {
        VARVE_RETURN_IF_ERROR(function_.window(call, window, step, row));
      } else if (NarrowWindow(range_.extension, &window)) {
        VARVE_RETURN_IF_ERROR(function_.extended(call, window, step, row));
      }
      context_.samples_total += static_cast<int64_t>(h_count);
    }
    return absl::OkStatus();
  }

  /// rate() of something that is not named like a counter is often a mistake.
  void RemarkNonCounter(const Row& row) {
    if (function_.name != "rate" && function_.name != "increase") return;
    const std::string_view name =
        (*input_series_)[row.series].labels.metric_name();
    if (name.empty() || name.ends_with("_total") || name.ends_with("_sum") ||
        name.ends_with("_count") || name.ends_with("_bucket") ||
        name == remarked_) {
      return;
    }
    for (size_t step = 0; step < steps(); ++step) {
      if (!row.HasFloat(step)) continue;
      remarked_ = name;
      context_.annotations.PossibleNonCounter(name, ArgumentPosition(node_, 0));
      return;
    }
  }

  const PlanNode& node_;
  const PlanNode& range_;
  const RangeFunction& function_;
  const std::unique_ptr<RangeInput> input_;
  const std::vector<OperatorPtr> scalar_operators_;
  HeldBytes held_;
  std::vector<std::vector<double>> scalars_;
  const std::vector<SeriesInfo>* input_series_ = nullptr;
  std::vector<SeriesInfo> series_;
  RangeSeries samples_;
  bool planned_ = false;
  std::vector<uint64_t> plan_ids_;
  std::vector<int64_t> plan_times_;
  WindowPlan plan_;
  WindowPlan histogram_plan_;
  std::string remarked_;
};

/// absent_over_time: one series where no series has a sample in the window.
class AbsentOverTime final : public Operator {
 public:
  AbsentOverTime(const PlanNode& node, EvalContext& context, StepGrid grid,
                 std::unique_ptr<RangeInput> input)
      : Operator(context, grid),
        range_(*node.inputs[0]),
        input_(std::move(input)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_RETURN_IF_ERROR(input_->Series().status());
    series_.push_back({AbsentLabels(*range_.expr), false});
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    row->series = 0;
    row->Clear(grid_.count);
    std::fill(row->values.begin(), row->values.end(), 1.0);
    RangeSeries samples;
    WindowPlan plan;
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(&samples));
      if (!more) return true;
      for (const auto* times : {&samples.times, &samples.histogram_times}) {
        PlanWindows(*times, range_, grid_, &plan);
        for (size_t step = 0; step < steps(); ++step) {
          context_.samples_total += static_cast<int64_t>(plan.count(step));
          if (plan.count(step) > 0) row->Remove(step);
        }
      }
    }
  }

 private:
  const PlanNode& range_;
  const std::unique_ptr<RangeInput> input_;
  std::vector<SeriesInfo> series_;
  bool done_ = false;
};

/// Only some functions make sense of anchored and smoothed selectors.
absl::Status CheckExtension(const PlanNode& range, std::string_view function,
                            const RangeFunction* f) {
  if (range.extension == Extension::kAnchored &&
      (f == nullptr || f->extended == nullptr)) {
    return FailedPrecondition(
        "anchored modifier can only be used with: changes, delta, increase, "
        "rate, resets - not with {}",
        function);
  }
  if (range.extension == Extension::kSmoothed &&
      (f == nullptr || !f->smooths)) {
    return FailedPrecondition(
        "smoothed modifier can only be used with: delta, increase, rate - not "
        "with {}",
        function);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OperatorPtr> MakeRangeCall(const PlanNode& node,
                                          EvalContext& context,
                                          const StepGrid& grid) {
  const std::string_view name = As<Call>(*node.expr).function->name;
  const size_t range = RangeArgument(node);
  const RangeFunction* function = FindRangeFunction(name);
  if (function == nullptr && name != "absent_over_time") {
    return Unimplemented("the function {}() is not implemented yet", name);
  }
  VARVE_RETURN_IF_ERROR(CheckExtension(*node.inputs[range], name, function));
  VARVE_ASSIGN_OR_RETURN(std::unique_ptr<RangeInput> input,
                         MakeRangeInput(*node.inputs[range], context, grid));
  if (function == nullptr) {
    return std::make_unique<AbsentOverTime>(node, context, grid,
                                            std::move(input));
  }
  std::vector<OperatorPtr> scalars;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    scalars.emplace_back();
    if (i == range) continue;
    VARVE_ASSIGN_OR_RETURN(scalars.back(),
                           Build(*node.inputs[i], context, grid));
  }
  OperatorPtr op = std::make_unique<RangeCallOperator>(
      node, context, grid, *function, std::move(input), std::move(scalars));
  if (function->keeps_name || context.options.delayed_name_removal) return op;
  return MakeMergeDuplicates(std::move(op), context, Duplicates::kForbid);
}

}  // namespace varve::promql
