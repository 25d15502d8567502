#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "query/aggregate.h"
#include "query/bounds.h"
#include "query/grouping.h"
#include "storage/status_macros.h"

// topk, bottomk, limitk and limit_ratio: aggregations that give some of their
// input's points with the labels they had.

namespace varve::promql {
namespace {

/// A point that was chosen.
struct Pick {
  uint32_t series = 0;
  uint32_t step = 0;
  double value = 0;
  HistogramPtr histogram;
};

/// The best k points of a group at a step: a heap with the worst on top. Its
/// moves are those of Go's container/heap, since they decide which of several
/// equal values stay and in what order.
class BestHeap {
 public:
  /// Both give true when the heap has grown.
  bool Offer(const Pick& pick, int64_t k, bool top) {
    if (Take(pick, k)) {
      Up(picks_.size() - 1, top);
      return true;
    }
    const double worst = picks_[0].value;
    const bool better = top ? worst < pick.value : worst > pick.value;
    if (better || (std::isnan(worst) && !std::isnan(pick.value))) {
      picks_[0] = pick;
      Down(top);
    }
    return false;
  }
  /// Keeps the first k.
  bool Take(const Pick& pick, int64_t k) {
    if (static_cast<int64_t>(picks_.size()) >= k) return false;
    picks_.push_back(pick);
    return true;
  }
  /// Best first, NaN last.
  absl::Status Rank(const QueryContext& query, bool top) {
    const auto before = [top](const Pick& a, const Pick& b) {
      if (std::isnan(a.value)) return false;
      if (std::isnan(b.value)) return true;
      return top ? a.value > b.value : a.value < b.value;
    };
    return CheckedSort(query, &picks_, before);
  }
  std::vector<Pick>& picks() { return picks_; }

 private:
  bool Worse(size_t i, size_t j, bool top) const {
    const double a = picks_[i].value;
    const double b = picks_[j].value;
    return std::isnan(a) || (top ? a < b : a > b);
  }
  void Up(size_t j, bool top) {
    while (j > 0) {
      const size_t i = (j - 1) / 2;
      if (!Worse(j, i, top)) break;
      std::swap(picks_[i], picks_[j]);
      j = i;
    }
  }
  void Down(bool top) {
    size_t i = 0;
    while (2 * i + 1 < picks_.size()) {
      size_t j = 2 * i + 1;
      if (j + 1 < picks_.size() && Worse(j + 1, j, top)) ++j;
      if (!Worse(j, i, top)) break;
      std::swap(picks_[i], picks_[j]);
      i = j;
    }
  }

  std::vector<Pick> picks_;
};

/// Where in [0, 1) limit_ratio places a label set: the hash that Prometheus
/// takes, of the labels in its own packed form.
double SampleOffset(const Labels& labels) {
  std::string packed;
  const auto put = [&](std::string_view text) {
    if (text.size() < 255) {
      packed.push_back(static_cast<char>(text.size()));
    } else {
      packed.push_back(static_cast<char>(255));
      for (int shift : {0, 8, 16}) {
        packed.push_back(static_cast<char>(text.size() >> shift));
      }
    }
    packed.append(text);
  };
  for (const LabelView& label : labels) {
    put(label.name);
    put(label.value);
  }
  return static_cast<double>(XXH64(packed.data(), packed.size(), 0)) /
         static_cast<double>(std::numeric_limits<uint64_t>::max());
}

class SelectionOperator final : public Operator {
 public:
  SelectionOperator(const PlanNode& node, EvalContext& context,
                    OperatorPtr input, OperatorPtr parameter)
      : Operator(context, input->grid()),
        node_(node),
        op_(As<AggregateExpr>(*node.expr).op),
        input_(std::move(input)),
        parameter_operator_(std::move(parameter)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(parameter_, ReadScalar(*parameter_operator_));
    VARVE_ASSIGN_OR_RETURN(series_, input_->Series());
    VARVE_RETURN_IF_ERROR(CheckParameter());
    Grouping grouping(As<AggregateExpr>(*node_.expr), context_.query);
    VARVE_RETURN_IF_ERROR(grouping.Add(*series_, &group_of_));
    if (op_ != AggregateOp::kLimitRatio && !nothing_) {
      const size_t cells = grouping.groups().size() * steps();
      VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
          static_cast<int64_t>(cells * sizeof(BestHeap))));
      heaps_.resize(cells);
    }
    return series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (nothing_) {
      // Read all the same: an error in there is the answer.
      for (;;) {
        VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
        if (!more) return false;
      }
    }
    if (!folded_) {
      VARVE_RETURN_IF_ERROR(Fold(row));
      folded_ = true;
    }
    if (next_ == picks_.size()) return false;
    row->series = picks_[next_].series;
    row->Clear(grid_.count);
    for (; next_ < picks_.size() && picks_[next_].series == row->series;
         ++next_) {
      Pick& pick = picks_[next_];
      if (pick.histogram != nullptr) {
        row->SetHistogram(pick.step, std::move(pick.histogram));
      } else {
        row->SetFloat(pick.step, pick.value);
      }
    }
    return true;
  }

 private:
  absl::Status CheckParameter() {
    const bool ratio = op_ == AggregateOp::kLimitRatio;
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    bool nan = false;
    for (double v : parameter_) {
      nan = nan || std::isnan(v);
      low = std::min(low, v);
      high = std::max(high, v);
    }
    if (ratio ? (low == 0 && high == 0) : (high < 1 && !nan)) {
      nothing_ = true;
      return absl::OkStatus();
    }
    if (nan) {
      return FailedPrecondition("{} value is NaN",
                                ratio ? "Ratio" : "Parameter");
    }
    if (ratio) {
      const PositionRange position = node_.inputs[1]->position();
      if (high > 1) context_.annotations.InvalidRatio(high, 1, position);
      if (low < -1) context_.annotations.InvalidRatio(low, -1, position);
      return absl::OkStatus();
    }
    if (low <= -9223372036854775808.0) {
      return FailedPrecondition("Scalar value {} underflows int64", low);
    }
    if (high >= 9223372036854774784.0) {
      return FailedPrecondition("Scalar value {} overflows int64", high);
    }
    return absl::OkStatus();
  }

  absl::Status Fold(Row* row) {
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
      if (!more) break;
      const size_t before = held_;
      if (op_ == AggregateOp::kLimitRatio) {
        AddByRatio(*row);
      } else {
        AddByRank(*row);
      }
      VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
          static_cast<int64_t>((held_ - before) * 3 * sizeof(Pick))));
    }
    for (BestHeap& heap : heaps_) {
      if (op_ != AggregateOp::kLimitk) {
        VARVE_RETURN_IF_ERROR(
            heap.Rank(context_.query, op_ == AggregateOp::kTopk));
      }
      for (Pick& pick : heap.picks()) picks_.push_back(std::move(pick));
      heap.picks() = {};
    }
    // An instant vector keeps the order of rank.
    if (grid_.count <= 1) return absl::OkStatus();
    return CheckedSort(
        context_.query, &picks_,
        [](const Pick& a, const Pick& b) { return a.series < b.series; });
  }

  static Pick MakePick(const Row& row, size_t step) {
    return {row.series, static_cast<uint32_t>(step), row.values[step],
            row.HasHistogram(step) ? row.histograms[step] : nullptr};
  }

  void AddByRatio(const Row& row) {
    const double offset = SampleOffset((*series_)[row.series].labels);
    for (size_t step = 0; step < steps(); ++step) {
      if (!row.Has(step)) continue;
      const double r = std::clamp(parameter_[step], -1.0, 1.0);
      if (r >= 0 ? offset < r : offset >= 1.0 + r) {
        picks_.push_back(MakePick(row, step));
        ++held_;
      }
    }
  }

  void AddByRank(const Row& row) {
    const size_t group = group_of_[row.series];
    for (size_t step = 0; step < steps(); ++step) {
      if (!row.Has(step)) continue;
      const auto k = std::min(static_cast<int64_t>(parameter_[step]),
                              static_cast<int64_t>(series_->size()));
      if (k < 1) continue;
      BestHeap& heap = heaps_[group * steps() + step];
      if (op_ == AggregateOp::kLimitk) {
        held_ += heap.Take(MakePick(row, step), k) ? 1 : 0;
      } else if (row.HasHistogram(step)) {
        context_.annotations.HistogramIgnored(ToString(op_),
                                              node_.expr->position);
      } else {
        const bool top = op_ == AggregateOp::kTopk;
        held_ += heap.Offer(MakePick(row, step), k, top) ? 1 : 0;
      }
    }
  }

  const PlanNode& node_;
  const AggregateOp op_;
  const OperatorPtr input_;
  const OperatorPtr parameter_operator_;
  std::vector<double> parameter_;
  const std::vector<SeriesInfo>* series_ = nullptr;
  std::vector<uint32_t> group_of_;  ///< by series
  std::vector<BestHeap> heaps_;     ///< by group and step
  std::vector<Pick> picks_;         ///< the points of a series are adjacent
  size_t held_ = 0;
  bool nothing_ = false;
  bool folded_ = false;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeSelection(const PlanNode& node,
                                          EvalContext& context,
                                          OperatorPtr input,
                                          OperatorPtr parameter) {
  return std::make_unique<SelectionOperator>(node, context, std::move(input),
                                             std::move(parameter));
}

}  // namespace varve::promql
