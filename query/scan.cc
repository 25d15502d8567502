#include "query/scan.h"

#include "query/sample_reader.h"
#include "query/select.h"
#include "query/smoothed_scan.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

class Scan final : public Operator {
 public:
  Scan(const PlanNode& node, EvalContext& context, StepGrid grid,
       ScanValue value)
      : Operator(context, grid), node_(node), value_(value) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(
        selected_, SelectSeries(context_, As<VectorSelector>(*node_.expr),
                                node_, grid_, context_.lookback_ms));
    if (value_ == ScanValue::kTimestamp) {
      for (SeriesInfo& info : selected_.infos) {
        DropName(context_.options, &info);
      }
    }
    return &selected_.infos;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (next_ == selected_.cursors.size()) return false;
    VARVE_RETURN_IF_ERROR(context_.query.Check());
    row->series = static_cast<uint32_t>(next_);
    row->Clear(grid_.count);
    const std::unique_ptr<SeriesCursor> cursor =
        std::move(selected_.cursors[next_++]);
    VARVE_RETURN_IF_ERROR(Fill(*cursor, row));
    return true;
  }

 private:
  /// The newest sample so far.
  struct Last {
    bool known = false;
    int64_t timestamp_ms = 0;
    double value = 0;
    std::shared_ptr<const Histogram> histogram;
    /// The histogram right before that one, if there is one.
    std::shared_ptr<const Histogram> before;
  };

  absl::Status Fill(SeriesCursor& cursor, Row* row) {
    Last last;
    int64_t step = 0;
    while (step < grid_.count) {
      VARVE_ASSIGN_OR_RETURN(const bool more, cursor.Next(&columns_));
      if (!more) break;
      VARVE_RETURN_IF_ERROR(
          context_.query.ChargeSamples(static_cast<int64_t>(columns_.size())));
      if (columns_.kind == SampleColumns::Kind::kFloat) {
        step = FillFloats(step, &last, row);
        continue;
      }
      for (size_t i = 0; i < columns_.size(); ++i) {
        const int64_t t = columns_.timestamps[i];
        for (; step < grid_.count && ReferenceMs(step) < t; ++step) {
          Emit(step, last, row);
        }
        last.known = true;
        last.timestamp_ms = t;
        last.before = std::move(last.histogram);
        last.histogram = columns_.histograms[i];
      }
    }
    for (; step < grid_.count; ++step) Emit(step, last, row);
    return absl::OkStatus();
  }

  /// The steps that end inside a batch of floats; gives the next step.
  int64_t FillFloats(int64_t step, Last* last, Row* row) {
    const std::vector<int64_t>& times = columns_.timestamps;
    size_t i = 0;
    for (; step < grid_.count; ++step) {
      const int64_t reference = ReferenceMs(step);
      while (i < times.size() && times[i] <= reference) ++i;
      if (i == times.size()) break;
      if (i == 0) {
        Emit(step, *last, row);
        continue;
      }
      const double v = columns_.values[i - 1];
      if (times[i - 1] <= reference - context_.lookback_ms || IsStaleNan(v)) {
        continue;
      }
      ++context_.samples_total;
      row->values[static_cast<size_t>(step)] =
          value_ == ScanValue::kTimestamp
              ? static_cast<double>(times[i - 1]) / 1000
              : v;
    }
    last->known = true;
    last->timestamp_ms = times.back();
    last->value = columns_.values.back();
    last->histogram = nullptr;
    last->before = nullptr;
    return step;
  }

  int64_t ReferenceMs(int64_t step) const {
    return node_.anchor.Resolve(grid_.At(step));
  }

  void Emit(int64_t step, const Last& last, Row* row) {
    if (!last.known ||
        last.timestamp_ms <= ReferenceMs(step) - context_.lookback_ms) {
      return;
    }
    const auto i = static_cast<size_t>(step);
    if (last.histogram != nullptr) {
      if (IsStale(*last.histogram)) return;
    } else if (IsStaleNan(last.value)) {
      return;
    }
    ++context_.samples_total;
    if (value_ == ScanValue::kTimestamp) {
      row->values[i] = static_cast<double>(last.timestamp_ms) / 1000;
    } else if (last.histogram == nullptr) {
      row->values[i] = last.value;
    } else {
      row->SetHistogram(i, Float(last));
    }
  }

  /// The float form, made once for all steps that show the same sample.
  const HistogramPtr& Float(const Last& last) {
    if (float_of_ != last.histogram) {
      float_of_ = last.histogram;
      const bool follows = node_.derive_hints && last.before != nullptr &&
                           !IsStale(*last.before);
      float_ = MakeFloatHistogram(*last.histogram,
                                  follows ? last.before.get() : nullptr);
    }
    return float_;
  }

  const PlanNode& node_;
  const ScanValue value_;
  SelectedSeries selected_;
  size_t next_ = 0;
  SampleColumns columns_;
  std::shared_ptr<const Histogram> float_of_;
  HistogramPtr float_;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeScan(const PlanNode& node, EvalContext& context,
                                     const StepGrid& grid, ScanValue value) {
  const auto& selector = As<VectorSelector>(*node.expr);
  if (selector.smoothed) return MakeSmoothedScan(node, context, grid, value);
  return std::make_unique<Scan>(node, context, grid, value);
}

}  // namespace varve::promql
