#include "query/aggregate.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "query/bounds.h"
#include "query/grouping.h"
#include "query/histogram_fold.h"
#include "query/kahan.h"
#include "query/plan.h"
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
  /// `groups` may grow from call to call, `steps` stays.
  virtual void Resize(size_t groups, size_t steps) = 0;
  /// Folds a row into its group.
  virtual absl::Status Add(size_t group, const SeriesInfo& info,
                           const Row& row) = 0;
  /// Writes the group's result into a row of absent steps.
  virtual void Finish(size_t group, Row* out) = 0;
};

/// Cells in blocks of whole groups, so that what stands there never moves and
/// hardly more is taken than is used.
template <typename Cell>
class CellAccumulator : public Accumulator {
 public:
  int64_t bytes() const override { return sizeof(Cell); }
  void Resize(size_t groups, size_t steps) override {
    steps_ = steps;
    shift_ = 0;
    while ((steps << (shift_ + 1)) <= kBlockCells) ++shift_;
    const size_t per_block = size_t{1} << shift_;
    blocks_.resize((groups + per_block - 1) / per_block);
    for (; groups_ < groups; ++groups_) {
      std::vector<Cell>& block = blocks_[groups_ >> shift_];
      block.resize(block.size() + steps);
    }
  }

 protected:
  Cell* Cells(size_t group) {
    const size_t in_block = group & ((size_t{1} << shift_) - 1);
    return blocks_[group >> shift_].data() + in_block * steps_;
  }
  size_t steps() const { return steps_; }

 private:
  static constexpr size_t kBlockCells = 4096;

  size_t steps_ = 0;
  size_t groups_ = 0;
  unsigned shift_ = 0;  ///< groups per block, as a power of two
  std::vector<std::vector<Cell>> blocks_;
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

/// Reads all of its input before it tells its groups: in batches where that is
/// possible, so that no more is held than a batch and the groups.
class AggregateOperator final : public Operator {
 public:
  AggregateOperator(const PlanNode& node, EvalContext& context,
                    OperatorPtr input, OperatorPtr parameter)
      : Operator(context, input->grid()),
        node_(node),
        aggregate_(As<AggregateExpr>(*node.expr)),
        grouping_(aggregate_, context.query),
        input_(std::move(input)),
        parameter_(std::move(parameter)),
        held_(context.query) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_RETURN_IF_ERROR(ReadParameter());
    const int64_t samples_before = context_.samples_total;
    Batching batching;
    if (!aggregate_.without) batching.labels = &aggregate_.grouping;
    const bool batched = input_->SetBatches(batching);
    const absl::Status status = Fold(batched);
    if (batched && IsNotInBatches(status)) {
      context_.samples_total = samples_before;
      VARVE_ASSIGN_OR_RETURN(input_, Build(*node_.inputs[0], context_, grid_));
      VARVE_RETURN_IF_ERROR(Fold(false));
    } else {
      VARVE_RETURN_IF_ERROR(status);
    }
    input_.reset();
    return &grouping_.groups();
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (next_ == grouping_.groups().size()) return false;
    row->series = static_cast<uint32_t>(next_);
    row->Clear(grid_.count);
    accumulator_->Finish(next_++, row);
    return true;
  }

 private:
  absl::Status ReadParameter() {
    if (parameter_ == nullptr) return absl::OkStatus();
    VARVE_ASSIGN_OR_RETURN(parameters_, ReadScalar(*parameter_));
    return absl::OkStatus();
  }

  absl::Status Fold(bool batched) {
    grouping_.Clear();
    held_.Clear();
    MakeAccumulator();
    Row row;
    do {
      VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* series,
                             input_->Series());
      if (batched && series->empty()) break;
      VARVE_RETURN_IF_ERROR(AddGroups(*series));
      while (true) {
        VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(&row));
        if (!more) break;
        VARVE_RETURN_IF_ERROR(accumulator_->Add(group_of_[row.series],
                                                (*series)[row.series], row));
      }
    } while (batched);
    return absl::OkStatus();
  }

  absl::Status AddGroups(const std::vector<SeriesInfo>& series) {
    const size_t before = grouping_.groups().size();
    VARVE_RETURN_IF_ERROR(grouping_.Add(series, &group_of_));
    const size_t groups = grouping_.groups().size();
    VARVE_RETURN_IF_ERROR(held_.Add(accumulator_->bytes() * grid_.count *
                                    static_cast<int64_t>(groups - before)));
    accumulator_->Resize(groups, steps());
    return absl::OkStatus();
  }

  void MakeAccumulator() {
    switch (aggregate_.op) {
      case AggregateOp::kSum:
        accumulator_ = std::make_unique<
            SumAccumulator<SumCell, HistogramFold::Kind::kSum>>(node_,
                                                                context_);
        return;
      case AggregateOp::kAvg:
        accumulator_ = std::make_unique<
            SumAccumulator<MeanCell, HistogramFold::Kind::kMean>>(node_,
                                                                  context_);
        return;
      case AggregateOp::kCount:
        accumulator_ = std::make_unique<CountAccumulator>(false);
        return;
      case AggregateOp::kGroup:
        accumulator_ = std::make_unique<CountAccumulator>(true);
        return;
      case AggregateOp::kMin:
        accumulator_ =
            std::make_unique<ExtremeAccumulator<false>>(node_, context_);
        return;
      case AggregateOp::kMax:
        accumulator_ =
            std::make_unique<ExtremeAccumulator<true>>(node_, context_);
        return;
      case AggregateOp::kStddev:
        accumulator_ =
            std::make_unique<VarianceAccumulator>(node_, context_, true);
        return;
      case AggregateOp::kStdvar:
        accumulator_ =
            std::make_unique<VarianceAccumulator>(node_, context_, false);
        return;
      case AggregateOp::kQuantile:
        accumulator_ =
            std::make_unique<QuantileAccumulator>(node_, context_, parameters_);
        return;
      default:
        break;
    }
    VARVE_CHECK(false);
  }

  const PlanNode& node_;
  const AggregateExpr& aggregate_;
  Grouping grouping_;
  OperatorPtr input_;  ///< null once it is read
  const OperatorPtr parameter_;
  HeldBytes held_;
  std::vector<double> parameters_;
  std::vector<uint32_t> group_of_;  ///< by series of the batch
  std::unique_ptr<Accumulator> accumulator_;
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
