#include "query/scan.h"

#include <algorithm>

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
      : Operator(context, grid),
        node_(node),
        value_(value),
        selection_(context, As<VectorSelector>(*node.expr), node, grid,
                   context.lookback_ms) {}

  bool SetBatches(const Batching& batching) override {
    return selection_.SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(std::vector<SeriesInfo> * infos, selection_.Read());
    if (value_ == ScanValue::kTimestamp) {
      for (SeriesInfo& info : *infos) DropName(context_.options, &info);
    }
    return infos;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    VARVE_RETURN_IF_ERROR(context_.query.Check());
    const auto cursor = selection_.NextCursor(&row->series);
    if (cursor == nullptr) return false;
    row->Clear(grid_.count);
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

  /// A batch, and which of its samples the steps show that end in it. Batches
  /// at the same place of neighbouring series mostly have the same timestamps,
  /// so both are kept.
  struct Batch {
    SampleColumns columns;
    uint64_t picked_id = 0;  ///< the timestamps' that `picks` belong to
    int64_t first_step = 0;
    std::vector<int32_t>
        picks;  ///< from first_step on: kBefore, kTooOld, place
  };
  static constexpr size_t kBatchesMax = 64;
  static constexpr int32_t kBefore = -1;  ///< the newest is of a batch before
  static constexpr int32_t kTooOld = -2;

  absl::Status Fill(SeriesCursor& cursor, Row* row) {
    Last last;
    int64_t step = 0;
    for (size_t place = 0; step < grid_.count;
         place = std::min(place + 1, kBatchesMax - 1)) {
      if (place == batches_.size()) batches_.emplace_back();
      Batch& batch = batches_[place];
      const SampleColumns& columns = batch.columns;
      VARVE_ASSIGN_OR_RETURN(const bool more, cursor.Next(&batch.columns));
      if (!more) break;
      VARVE_RETURN_IF_ERROR(CountSamples(columns));
      if (columns.kind == SampleColumns::Kind::kFloat) {
        step = FillFloats(step, &batch, &last, row);
        continue;
      }
      for (size_t i = 0; i < columns.size(); ++i) {
        const int64_t t = columns.timestamps[i];
        for (; step < grid_.count && ReferenceMs(step) < t; ++step) {
          Emit(step, last, row);
        }
        last.known = true;
        last.timestamp_ms = t;
        last.before = std::move(last.histogram);
        last.histogram = columns.histograms[i];
      }
    }
    for (; step < grid_.count; ++step) Emit(step, last, row);
    return absl::OkStatus();
  }

  /// Samples of a batch are held until the next one only.
  absl::Status CountSamples(const SampleColumns& columns) {
    const auto samples = static_cast<int64_t>(columns.size());
    VARVE_RETURN_IF_ERROR(context_.query.ChargeSamples(samples));
    context_.query.ReleaseSamples(samples);
    return absl::OkStatus();
  }

  /// The steps that end inside a batch of floats; gives the next step.
  int64_t FillFloats(int64_t step, Batch* batch, Last* last, Row* row) {
    const SampleColumns& columns = batch->columns;
    if (batch->picked_id == 0 || batch->picked_id != columns.timestamps_id ||
        batch->first_step != step) {
      Pick(step, batch);
    }
    int64_t shown = 0;
    for (const int32_t pick : batch->picks) {
      const int64_t now = step++;
      if (pick == kBefore) Emit(now, *last, row);
      if (pick < 0) continue;
      const auto place = static_cast<size_t>(pick);
      const double v = columns.values[place];
      if (IsStaleNan(v)) continue;
      ++shown;
      row->values[static_cast<size_t>(now)] =
          value_ == ScanValue::kTimestamp
              ? static_cast<double>(columns.timestamps[place]) / 1000
              : v;
    }
    context_.samples_total += shown;
    last->known = true;
    last->timestamp_ms = columns.timestamps.back();
    last->value = columns.values.back();
    last->histogram = nullptr;
    last->before = nullptr;
    return step;
  }

  void Pick(int64_t step, Batch* batch) const {
    const std::vector<int64_t>& times = batch->columns.timestamps;
    batch->picked_id = batch->columns.timestamps_id;
    batch->first_step = step;
    batch->picks.clear();
    size_t i = 0;
    for (; step < grid_.count; ++step) {
      const int64_t reference = ReferenceMs(step);
      while (i < times.size() && times[i] <= reference) ++i;
      if (i == times.size()) return;
      if (i == 0) {
        batch->picks.push_back(kBefore);
      } else if (times[i - 1] <= reference - context_.lookback_ms) {
        batch->picks.push_back(kTooOld);
      } else {
        batch->picks.push_back(static_cast<int32_t>(i - 1));
      }
    }
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
  Selection selection_;
  std::vector<Batch> batches_;
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
