#include "query/functions.h"
#include "storage/status_macros.h"

// absent(): 1 where its argument has nothing.

namespace varve::promql {
namespace {

class Absent final : public Operator {
 public:
  Absent(EvalContext& context, OperatorPtr input, Labels labels)
      : Operator(context, input->grid()),
        input_(std::move(input)),
        series_{SeriesInfo{std::move(labels), false}} {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_RETURN_IF_ERROR(input_->Series().status());
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (done_) return false;
    done_ = true;
    std::vector<double> values(steps(), 1);
    for (;;) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
      if (!more) break;
      for (size_t i = 0; i < values.size(); ++i) {
        if (row->Has(i)) values[i] = StaleNan();
      }
    }
    row->series = 0;
    row->histograms.clear();
    row->values = std::move(values);
    return true;
  }

 private:
  const OperatorPtr input_;
  const std::vector<SeriesInfo> series_;
  bool done_ = false;
};

absl::StatusOr<OperatorPtr> MakeAbsent(OperatorCall call) {
  return std::make_unique<Absent>(call.context, std::move(call.arguments[0]),
                                  AbsentLabels(*call.node.inputs[0]->expr));
}

constexpr FunctionImpl kFunctions[] = {{.name = "absent", .make = MakeAbsent}};

}  // namespace

std::span<const FunctionImpl> AbsentFunctions() { return kFunctions; }

}  // namespace varve::promql
