#include "query/invariant.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

class Invariant final : public Operator {
 public:
  Invariant(EvalContext& context, StepGrid grid, OperatorPtr input)
      : Operator(context, grid), input_(std::move(input)) {}

  bool SetBatches(const Batching& batching) override {
    return input_->SetBatches(batching);
  }
  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return input_->Series();
  }
  absl::StatusOr<bool> Next(Row* row) override {
    VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
    if (!more) return false;
    if (grid_.count == 0) return true;
    row->values.resize(steps(), row->values[0]);
    if (!row->histograms.empty()) {
      const HistogramPtr histogram = row->histograms[0];
      row->histograms.resize(steps(), histogram);
    }
    return true;
  }

 private:
  const OperatorPtr input_;
};

class Constant final : public Operator {
 public:
  Constant(double value, EvalContext& context, StepGrid grid)
      : Operator(context, grid), value_(value) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return &series_;
  }
  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    row->series = 0;
    row->Clear(grid_.count);
    std::fill(row->values.begin(), row->values.end(), value_);
    return true;
  }

 private:
  const double value_;
  const std::vector<SeriesInfo> series_{SeriesInfo{}};
  bool done_ = false;
};

}  // namespace

OperatorPtr MakeInvariant(EvalContext& context, const StepGrid& grid,
                          OperatorPtr input) {
  return std::make_unique<Invariant>(context, grid, std::move(input));
}

OperatorPtr MakeConstant(double value, EvalContext& context,
                         const StepGrid& grid) {
  return std::make_unique<Constant>(value, context, grid);
}

}  // namespace varve::promql
