#include <bit>

#include "query/functions.h"
#include "storage/status_macros.h"

// time(), vector() and scalar(): the functions that turn the two kinds of value
// into each other. timestamp() over a selector is in scan.cc.

namespace varve::promql {
namespace {

/// One series without labels whose row is made by a function of the step.
class EvaluationTime final : public Operator {
 public:
  using Operator::Operator;

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    return &series_;
  }
  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    row->series = 0;
    row->Clear(grid_.count);
    for (int64_t step = 0; step < grid_.count; ++step) {
      row->values[static_cast<size_t>(step)] =
          static_cast<double>(grid_.At(step)) / 1000;
    }
    return true;
  }

 private:
  const std::vector<SeriesInfo> series_{SeriesInfo{}};
  bool done_ = false;
};

/// scalar(): the only float of a step, else NaN.
class ScalarOf final : public Operator {
 public:
  explicit ScalarOf(EvalContext& context, OperatorPtr input)
      : Operator(context, input->grid()), input_(std::move(input)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_RETURN_IF_ERROR(input_->Series().status());
    return &series_;
  }
  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    const double nan = std::bit_cast<double>(kNormalNanBits);
    std::vector<uint8_t> found(steps(), 0);
    std::vector<double> values(steps(), nan);
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
      if (!more) break;
      for (size_t i = 0; i < values.size(); ++i) {
        if (!row->HasFloat(i)) continue;
        values[i] = found[i] != 0 ? nan : row->values[i];
        found[i] = 1;
      }
    }
    row->series = 0;
    row->Clear(grid_.count);
    row->values = std::move(values);
    return true;
  }

 private:
  const OperatorPtr input_;
  const std::vector<SeriesInfo> series_{SeriesInfo{}};
  bool done_ = false;
};

absl::StatusOr<OperatorPtr> MakeTime(OperatorCall call) {
  return MakeEvaluationTime(call.context, call.grid);
}

/// A scalar operator is already a vector without labels.
absl::StatusOr<OperatorPtr> MakeVector(OperatorCall call) {
  return std::move(call.arguments[0]);
}

absl::StatusOr<OperatorPtr> MakeScalar(OperatorCall call) {
  return std::make_unique<ScalarOf>(call.context, std::move(call.arguments[0]));
}

/// start_timestamp() of anything but a selector: nothing. That of a selector is
/// in start_scan.cc.
absl::Status StartTimestamp(const FunctionCall& call, Row* row) {
  row->Clear(call.grid.count);
  return absl::OkStatus();
}

/// timestamp() of anything but a selector: the evaluation time.
absl::Status Timestamp(const FunctionCall& call, Row* row) {
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (!row->Has(i)) continue;
    row->SetFloat(
        i, static_cast<double>(call.grid.At(static_cast<int64_t>(i))) / 1000);
  }
  return absl::OkStatus();
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "scalar", .make = MakeScalar},
    {.name = "time", .make = MakeTime},
    {.name = "start_timestamp", .row = StartTimestamp, .histograms = true},
    {.name = "timestamp", .row = Timestamp, .histograms = true},
    {.name = "vector", .make = MakeVector},
};

}  // namespace

OperatorPtr MakeEvaluationTime(EvalContext& context, const StepGrid& grid) {
  return std::make_unique<EvaluationTime>(context, grid);
}

std::span<const FunctionImpl> CoreFunctions() { return kFunctions; }

}  // namespace varve::promql
