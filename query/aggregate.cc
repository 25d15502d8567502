#include "query/aggregate.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "query/grouping.h"
#include "query/histogram_fold.h"
#include "query/kahan.h"
#include "query/quantile.h"
#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// What one kind of aggregation keeps per group and step.
class Accumulator {
 public:
  virtual ~Accumulator() = default;

  /// Bytes per group and step, to be charged beforehand.
  virtual int64_t bytes() const = 0;
  virtual void Resize(size_t groups, size_t steps) = 0;
  /// Folds a row into its group.
  virtual absl::Status Add(size_t group, const SeriesInfo& info,
                           const Row& row) = 0;
  /// Writes the group's result into a row of absent steps.
  virtual void Finish(size_t group, Row* out) = 0;
};

/// Cells in one array, group by group.
template <typename Cell>
class CellAccumulator : public Accumulator {
 public:
  int64_t bytes() const override { return sizeof(Cell); }
  void Resize(size_t groups, size_t steps) override {
    steps_ = steps;
    cells_.resize(groups * steps);
  }

 protected:
  Cell* Cells(size_t group) { return cells_.data() + group * steps_; }
  size_t steps() const { return steps_; }

 private:
  size_t steps_ = 0;
  std::vector<Cell> cells_;
};

/// Remarks that an aggregation takes no notice of histograms.
void RemarkHistograms(const PlanNode& node, EvalContext& context,
                      const Row& row) {
  for (const HistogramPtr& h : row.histograms) {
    if (h == nullptr) continue;
    context.annotations.HistogramIgnored(
        ToString(As<AggregateExpr>(*node.expr).op), node.inputs[0]->position());
    return;
  }
}

/// The histograms among the points of sum and avg. There are seldom any, so
/// the cells exist only where one was seen.
class HistogramCells {
 public:
  HistogramCells(const PlanNode& node, EvalContext& context,
                 HistogramFold::Kind kind)
      : kind_(kind), context_(context), position_(node.inputs[0]->position()) {}

  absl::Status Add(size_t first_cell, const Row& row, std::string_view metric) {
    for (size_t i = 0; i < row.histograms.size(); ++i) {
      if (row.histograms[i] == nullptr) continue;
      auto& fold = folds_[first_cell + i];
      if (fold == nullptr) {
        VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(kFoldBytes));
        fold = std::make_unique<HistogramFold>();
      }
      const bool before = fold->incompatible();
      fold->Add(kind_, *row.histograms[i]);
      if (fold->incompatible() && !before) {
        context_.annotations.MixedExponentialCustom(metric, position_);
      }
    }
    return absl::OkStatus();
  }

  /// True if the cell holds histograms, and so its floats do not count.
  bool Finish(size_t cell, bool has_float, size_t step, Row* out) const {
    if (folds_.empty()) return false;
    const auto it = folds_.find(cell);
    if (it == folds_.end()) return false;
    const HistogramFold& fold = *it->second;
    if (has_float) {
      context_.annotations.MixedFloatsHistogramsInAggregation(position_);
      return true;
    }
    if (fold.bounds_reconciled()) {
      context_.annotations.CustomBucketsReconciled("aggregation", position_);
    }
    if (fold.incompatible()) return true;
    if (fold.reset_collision()) {
      context_.annotations.CounterResetCollision("aggregation", position_);
    }
    out->SetHistogram(
        step, std::make_shared<const FloatHistogram>(fold.Result(kind_)));
    return true;
  }

 private:
  static constexpr int64_t kFoldBytes = 1000;

  const HistogramFold::Kind kind_;
  EvalContext& context_;
  const PositionRange position_;
  absl::flat_hash_map<size_t, std::unique_ptr<HistogramFold>> folds_;
};

struct SumCell {
  KahanSum sum;
  bool seen = false;

  void Add(double v) {
    if (seen) {
      sum.Add(v);
    } else {
      seen = true;
      sum.sum = v;
    }
  }
  bool empty() const { return !seen; }
  double Result() const { return sum.sum + sum.compensation; }
};

struct MeanCell {
  KahanMean mean;

  void Add(double v) { mean.Add(v); }
  bool empty() const { return mean.count() == 0; }
  double Result() const { return mean.Mean(); }
};

/// sum and avg.
template <typename Cell, HistogramFold::Kind kKind>
class SumAccumulator final : public CellAccumulator<Cell> {
 public:
  SumAccumulator(const PlanNode& node, EvalContext& context)
      : histograms_(node, context, kKind) {}

  absl::Status Add(size_t group, const SeriesInfo& info,
                   const Row& row) override {
    Cell* cells = this->Cells(group);
    for (size_t i = 0; i < this->steps(); ++i) {
      if (!IsStaleNan(row.values[i])) cells[i].Add(row.values[i]);
    }
    if (row.histograms.empty()) return absl::OkStatus();
    return histograms_.Add(group * this->steps(), row,
                           info.labels.metric_name());
  }
  void Finish(size_t group, Row* out) override {
    const Cell* cells = this->Cells(group);
    const size_t first = group * this->steps();
    for (size_t i = 0; i < this->steps(); ++i) {
      const bool has_float = !cells[i].empty();
      if (histograms_.Finish(first + i, has_float, i, out)) continue;
      if (has_float) out->SetFloat(i, cells[i].Result());
    }
  }

 private:
  HistogramCells histograms_;
};

/// count and group: histograms are as good as floats.
class CountAccumulator final : public CellAccumulator<double> {
 public:
  explicit CountAccumulator(bool only_one) : only_one_(only_one) {}

  absl::Status Add(size_t group, const SeriesInfo&, const Row& row) override {
    double* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      if (row.Has(i)) cells[i] += 1;
    }
    return absl::OkStatus();
  }
  void Finish(size_t group, Row* out) override {
    const double* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      if (cells[i] > 0) out->values[i] = only_one_ ? 1 : cells[i];
    }
  }

 private:
  const bool only_one_;
};

/// An absent cell of ExtremeAccumulator: the stale NaN.
struct ValueCell {
  double value = StaleNan();
};

template <bool kMax>
class ExtremeAccumulator final : public CellAccumulator<ValueCell> {
 public:
  ExtremeAccumulator(const PlanNode& node, EvalContext& context)
      : node_(node), context_(context) {}

  absl::Status Add(size_t group, const SeriesInfo&, const Row& row) override {
    RemarkHistograms(node_, context_, row);
    ValueCell* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      const double v = row.values[i];
      if (IsStaleNan(v)) continue;
      double& cell = cells[i].value;
      // An absent cell is a NaN and so gives way, too.
      if ((kMax ? cell < v : cell > v) || std::isnan(cell)) cell = v;
    }
    return absl::OkStatus();
  }
  void Finish(size_t group, Row* out) override {
    const ValueCell* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) out->values[i] = cells[i].value;
  }

 private:
  const PlanNode& node_;
  EvalContext& context_;
};

struct VarianceCell {
  double count = 0;
  double mean = 0;
  double squares = 0;
};

/// Welford's method.
class VarianceAccumulator final : public CellAccumulator<VarianceCell> {
 public:
  VarianceAccumulator(const PlanNode& node, EvalContext& context, bool root)
      : node_(node), context_(context), root_(root) {}

  absl::Status Add(size_t group, const SeriesInfo&, const Row& row) override {
    RemarkHistograms(node_, context_, row);
    VarianceCell* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      const double v = row.values[i];
      if (IsStaleNan(v)) continue;
      VarianceCell& cell = cells[i];
      cell.count += 1;
      if (cell.count == 1) {
        cell.mean = v;
        if (!std::isfinite(v)) {
          cell.squares = std::bit_cast<double>(kNormalNanBits);
        }
        continue;
      }
      const double delta = v - cell.mean;
      cell.mean += delta / cell.count;
      cell.squares += delta * (v - cell.mean);
    }
    return absl::OkStatus();
  }
  void Finish(size_t group, Row* out) override {
    const VarianceCell* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      if (cells[i].count == 0) continue;
      const double variance = cells[i].squares / cells[i].count;
      out->values[i] = root_ ? std::sqrt(variance) : variance;
    }
  }

 private:
  const PlanNode& node_;
  EvalContext& context_;
  const bool root_;
};

/// Keeps all values, since the quantile may differ from step to step.
class QuantileAccumulator final : public CellAccumulator<std::vector<double>> {
 public:
  QuantileAccumulator(const PlanNode& node, EvalContext& context,
                      std::vector<double> q)
      : node_(node), context_(context), q_(std::move(q)) {
    double low = 0;
    double high = 1;
    bool nan = false;
    for (double v : q_) {
      nan = nan || std::isnan(v);
      low = std::min(low, v);
      high = std::max(high, v);
    }
    const PositionRange position = node.inputs[1]->position();
    if (nan) context.annotations.InvalidQuantile(std::nan(""), position);
    if (high > 1) context.annotations.InvalidQuantile(high, position);
    if (low < 0) context.annotations.InvalidQuantile(low, position);
  }

  absl::Status Add(size_t group, const SeriesInfo&, const Row& row) override {
    RemarkHistograms(node_, context_, row);
    VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
        static_cast<int64_t>(steps() * sizeof(double))));
    std::vector<double>* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      if (!IsStaleNan(row.values[i])) cells[i].push_back(row.values[i]);
    }
    return absl::OkStatus();
  }
  void Finish(size_t group, Row* out) override {
    std::vector<double>* cells = Cells(group);
    for (size_t i = 0; i < steps(); ++i) {
      if (!cells[i].empty()) out->values[i] = Quantile(q_[i], &cells[i]);
    }
  }

 private:
  const PlanNode& node_;
  EvalContext& context_;
  const std::vector<double> q_;
};

class AggregateOperator final : public Operator {
 public:
  AggregateOperator(const PlanNode& node, EvalContext& context,
                    OperatorPtr input, OperatorPtr parameter)
      : Operator(context, input->grid()),
        node_(node),
        input_(std::move(input)),
        parameter_(std::move(parameter)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(input_series_, input_->Series());
    grouping_ = MakeGrouping(As<AggregateExpr>(*node_.expr), *input_series_);
    VARVE_RETURN_IF_ERROR(MakeAccumulator());
    VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
        accumulator_->bytes() * grid_.count *
        static_cast<int64_t>(grouping_.groups.size())));
    accumulator_->Resize(grouping_.groups.size(), steps());
    return &grouping_.groups;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    while (!folded_) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
      if (!more) {
        folded_ = true;
        break;
      }
      VARVE_RETURN_IF_ERROR(accumulator_->Add(grouping_.group_of[row->series],
                                              (*input_series_)[row->series],
                                              *row));
    }
    if (next_ == grouping_.groups.size()) return false;
    row->series = static_cast<uint32_t>(next_);
    row->Clear(grid_.count);
    accumulator_->Finish(next_++, row);
    return true;
  }

 private:
  absl::Status MakeAccumulator() {
    switch (As<AggregateExpr>(*node_.expr).op) {
      case AggregateOp::kSum:
        accumulator_ = std::make_unique<
            SumAccumulator<SumCell, HistogramFold::Kind::kSum>>(node_,
                                                                context_);
        return absl::OkStatus();
      case AggregateOp::kAvg:
        accumulator_ = std::make_unique<
            SumAccumulator<MeanCell, HistogramFold::Kind::kMean>>(node_,
                                                                  context_);
        return absl::OkStatus();
      case AggregateOp::kCount:
        accumulator_ = std::make_unique<CountAccumulator>(false);
        return absl::OkStatus();
      case AggregateOp::kGroup:
        accumulator_ = std::make_unique<CountAccumulator>(true);
        return absl::OkStatus();
      case AggregateOp::kMin:
        accumulator_ =
            std::make_unique<ExtremeAccumulator<false>>(node_, context_);
        return absl::OkStatus();
      case AggregateOp::kMax:
        accumulator_ =
            std::make_unique<ExtremeAccumulator<true>>(node_, context_);
        return absl::OkStatus();
      case AggregateOp::kStddev:
        accumulator_ =
            std::make_unique<VarianceAccumulator>(node_, context_, true);
        return absl::OkStatus();
      case AggregateOp::kStdvar:
        accumulator_ =
            std::make_unique<VarianceAccumulator>(node_, context_, false);
        return absl::OkStatus();
      case AggregateOp::kQuantile: {
        VARVE_ASSIGN_OR_RETURN(std::vector<double> q, ReadScalar(*parameter_));
        accumulator_ = std::make_unique<QuantileAccumulator>(node_, context_,
                                                             std::move(q));
        return absl::OkStatus();
      }
      default:
        break;
    }
    VARVE_CHECK(false);
  }

  const PlanNode& node_;
  const OperatorPtr input_;
  const OperatorPtr parameter_;
  const std::vector<SeriesInfo>* input_series_ = nullptr;
  Grouping grouping_;
  std::unique_ptr<Accumulator> accumulator_;
  bool folded_ = false;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeAggregate(const PlanNode& node,
                                          EvalContext& context,
                                          OperatorPtr input,
                                          OperatorPtr parameter) {
  return std::make_unique<AggregateOperator>(node, context, std::move(input),
                                             std::move(parameter));
}

}  // namespace varve::promql
