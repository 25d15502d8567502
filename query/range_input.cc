#include "query/range_input.h"

#include "query/select.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// Steps of a subquery that one query may ask for; rows of this length are
/// held in memory.
constexpr int64_t kInnerStepsMax = 50'000'000;

/// A range vector selector.
class SelectorInput final : public RangeInput {
 public:
  SelectorInput(const PlanNode& node, EvalContext& context, StepGrid grid)
      : selection_(context, *As<MatrixSelector>(*node.expr).selector, node,
                   grid, node.range_ms),
        reader_(context, node.derive_hints) {}

  bool SetBatches(const Batching& batching) override {
    return selection_.SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return selection_.Read();
  }

  absl::StatusOr<bool> Next(RangeSeries* out) override {
    const auto cursor = selection_.NextCursor(&out->series);
    if (cursor == nullptr) return false;
    VARVE_RETURN_IF_ERROR(reader_.Read(*cursor, out));
    return true;
  }

 private:
  Selection selection_;
  SampleReader reader_;
};

/// A subquery: the points of its inner expression are the samples.
class SubqueryInput final : public RangeInput {
 public:
  SubqueryInput(EvalContext& context, OperatorPtr inner)
      : context_(context), inner_(std::move(inner)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return inner_->Series();
  }

  absl::StatusOr<bool> Next(RangeSeries* out) override {
    out->Clear();
    VARVE_ASSIGN_OR_RETURN(const bool more, inner_->Next(&row_));
    if (!more) return false;
    VARVE_RETURN_IF_ERROR(context_.query.Check());
    out->series = row_.series;
    const StepGrid& grid = inner_->grid();
    for (size_t i = 0; i < row_.values.size(); ++i) {
      const int64_t t = grid.At(static_cast<int64_t>(i));
      if (row_.HasHistogram(i)) {
        out->histogram_times.push_back(t);
        out->histograms.push_back(WithoutHint(row_.histograms[i]));
        out->histogram_starts.push_back(kNoStartTimestamp);
      } else if (row_.HasFloat(i)) {
        out->times.push_back(t);
        out->values.push_back(row_.values[i]);
      }
    }
    if (out->times.size() == row_.values.size()) out->times_ids.push_back(1);
    return true;
  }

 private:
  /// What a hint says of its neighbour does not hold for the points that a
  /// subquery happens to pick.
  static HistogramPtr WithoutHint(const HistogramPtr& h) {
    if (h->reset_hint != ResetHint::kReset &&
        h->reset_hint != ResetHint::kNotReset) {
      return h;
    }
    auto copy = std::make_shared<FloatHistogram>(*h);
    copy->reset_hint = ResetHint::kUnknown;
    return copy;
  }

  EvalContext& context_;
  const OperatorPtr inner_;
  Row row_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RangeInput>> MakeRangeInput(
    const PlanNode& node, EvalContext& context, const StepGrid& grid) {
  if (node.kind == PlanKind::kRange) {
    return std::make_unique<SelectorInput>(node, context, grid);
  }
  VARVE_CHECK(node.kind == PlanKind::kSubquery);
  const StepGrid inner_grid = InnerGrid(node, grid);
  if (inner_grid.count > kInnerStepsMax) {
    return ResourceExhausted(
        "a subquery would be evaluated at {} steps, more than {}",
        inner_grid.count, kInnerStepsMax);
  }
  VARVE_RETURN_IF_ERROR(context.query.ChargeBytes(inner_grid.count * 32));
  VARVE_ASSIGN_OR_RETURN(OperatorPtr inner,
                         Build(*node.inputs[0], context, inner_grid));
  return std::make_unique<SubqueryInput>(context, std::move(inner));
}

}  // namespace varve::promql
