#include <absl/container/flat_hash_map.h>
#include <absl/strings/charconv.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>

#include "query/bounds.h"
#include "query/functions.h"
#include "query/histogram_math.h"
#include "query/merge_duplicates.h"
#include "query/text.h"
#include "storage/status_macros.h"

// Functions of histograms: quantiles and fractions of classic and native ones,
// and the simple numbers that native ones carry.

namespace varve::promql {
namespace {

constexpr std::string_view kBucketLabel = "le";

/// As Go's ParseFloat reads the bound of a bucket.
std::optional<double> ParseBound(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.starts_with('+')) return std::nullopt;
  double bound = 0;
  const char* end = text.data() + text.size();
  const auto result = absl::from_chars(text.data(), end, bound);
  const bool ok = result.ptr == end && result.ec == std::errc();
  return ok ? std::optional(bound) : std::nullopt;
}

/// All rows of the argument that make up one output: the buckets of a classic
/// histogram, or a native histogram. Both at one step is a mistake.
struct Group {
  struct Bucket {
    double upper = 0;
    std::vector<double> values;  ///< one per step
  };

  SeriesInfo info;  ///< without `le`
  std::string metric;
  std::vector<Bucket> buckets;
  std::vector<HistogramPtr> native;  ///< one per step, or empty
  size_t rows_pending = 0;

  bool empty() const { return buckets.empty() && native.empty(); }
};

/// One output of a group: a function's arguments per step. histogram_quantiles
/// has an output for each of its quantiles.
struct Output {
  std::string label_value;  ///< of histogram_quantiles
  std::vector<double> lower;
  std::vector<double> upper;  ///< the quantile, or the fraction's upper bound
  std::vector<bool> active;   ///< steps at which there is this output
};

/// Reads the argument into groups and computes a group as soon as the last row
/// that belongs to it is there.
class HistogramOperator : public Operator {
 public:
  HistogramOperator(OperatorCall call, size_t vector_argument)
      : Operator(call.context, call.grid),
        node_(call.node),
        arguments_(std::move(call.arguments)),
        strings_(std::move(call.strings)),
        vector_argument_(vector_argument),
        held_(context_.query),
        check_(context_.query) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_RETURN_IF_ERROR(ReadOutputs());
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* in, Input().Series());
    for (const SeriesInfo& info : *in) VARVE_RETURN_IF_ERROR(AddInput(info));
    for (const Group& group : groups_) {
      for (const Output& output : outputs_) {
        VARVE_RETURN_IF_ERROR(check_());
        VARVE_RETURN_IF_ERROR(held_.Add(HeldBytes::BytesOf(group.info.labels)));
        SeriesInfo info = group.info;
        if (!label_name_.empty()) {
          info.labels = LabelsBuilder(info.labels)
                            .Set(label_name_, output.label_value)
                            .Build();
        }
        DropName(context_.options, &info);
        series_.push_back(std::move(info));
      }
    }
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    while (ready_.empty()) {
      if (input_done_) {
        if (!FlushNext()) return false;
        continue;
      }
      VARVE_ASSIGN_OR_RETURN(const bool more, Input().Next(&input_row_));
      if (!more) {
        input_done_ = true;
        continue;
      }
      VARVE_RETURN_IF_ERROR(AddRow());
    }
    std::swap(*row, ready_.front());
    ready_.pop_front();
    return true;
  }

 protected:
  /// Fills outputs_ and, if the function has one, label_name_.
  virtual absl::Status ReadOutputs() = 0;
  virtual double Classic(const Output& output, size_t step,
                         std::vector<ClassicBucket>* buckets,
                         const Group& group) = 0;
  virtual double Native(const Output& output, size_t step,
                        const FloatHistogram& histogram,
                        const Group& group) = 0;

  absl::StatusOr<std::vector<double>> Scalar(size_t argument) {
    return ReadScalar(*arguments_[argument]);
  }
  PositionRange ArgumentPosition(size_t argument) const {
    return promql::ArgumentPosition(node_, argument);
  }
  PositionRange VectorPosition() const {
    return ArgumentPosition(vector_argument_);
  }
  size_t argument_count() const { return arguments_.size(); }
  const std::string& StringArgument(size_t i) const { return strings_[i]; }
  Annotations& annotations() { return context_.annotations; }
  /// The name to show in remarks about the result.
  std::string_view ResultName(const Group& group) const {
    return context_.options.delayed_name_removal ? group.metric
                                                 : std::string_view();
  }

  std::vector<Output> outputs_;
  std::string label_name_;

 private:
  /// What a series of the argument is.
  struct InputSeries {
    size_t group = 0;
    std::optional<double> upper;  ///< the bound if it is a bucket
    std::string le;
    std::string metric;
  };

  Operator& Input() { return *arguments_[vector_argument_]; }

  absl::Status AddInput(const SeriesInfo& info) {
    VARVE_RETURN_IF_ERROR(check_());
    VARVE_RETURN_IF_ERROR(held_.Add(static_cast<int64_t>(sizeof(InputSeries))));
    InputSeries input;
    input.le = info.labels.Get(kBucketLabel);
    input.metric = info.labels.metric_name();
    input.upper = ParseBound(input.le);
    SeriesInfo out = info;
    if (input.upper) {
      out.labels = LabelsBuilder(info.labels).Del(kBucketLabel).Build();
    }
    const auto [it, is_new] =
        group_of_.try_emplace(std::string(out.labels.packed()), groups_.size());
    if (is_new) {
      VARVE_RETURN_IF_ERROR(held_.Add(static_cast<int64_t>(sizeof(Group)) +
                                      2 * HeldBytes::BytesOf(out.labels)));
      groups_.emplace_back();
      groups_.back().info = std::move(out);
      groups_.back().metric = input.metric;
    }
    input.group = it->second;
    ++groups_[input.group].rows_pending;
    inputs_.push_back(std::move(input));
    return absl::OkStatus();
  }

  absl::Status AddRow() {
    const InputSeries& input = inputs_[input_row_.series];
    Group& group = groups_[input.group];
    const Row& row = input_row_;
    bool floats = false;
    bool histograms = false;
    for (size_t i = 0; i < row.values.size(); ++i) {
      floats = floats || row.HasFloat(i);
      histograms = histograms || row.HasHistogram(i);
    }
    if (floats && !input.upper) {
      annotations().BadBucketLabel(input.metric, input.le, VectorPosition());
    }
    if (floats && input.upper) {
      VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
          static_cast<int64_t>(row.values.size() * sizeof(double))));
      group.buckets.push_back({*input.upper, row.values});
    }
    if (histograms && !input.upper) {
      VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
          static_cast<int64_t>(row.values.size() * sizeof(HistogramPtr))));
      group.native = row.histograms;
    }
    if (--group.rows_pending == 0) Finish(input.group);
    return absl::OkStatus();
  }

  /// Computes a group of which rows are missing; false if there is none left.
  bool FlushNext() {
    while (next_flushed_ < groups_.size()) {
      const size_t group = next_flushed_++;
      if (groups_[group].rows_pending == 0) continue;
      Finish(group);
      return true;
    }
    return false;
  }

  void Finish(size_t index) {
    Group& group = groups_[index];
    if (group.empty()) return;
    std::stable_sort(group.buckets.begin(), group.buckets.end(),
                     [](const Group::Bucket& a, const Group::Bucket& b) {
                       // A bound of NaN comes last.
                       return a.upper < b.upper ||
                              (std::isnan(b.upper) && !std::isnan(a.upper));
                     });
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Row row;
      row.series = static_cast<uint32_t>(index * outputs_.size() + i);
      row.Clear(grid_.count);
      for (size_t step = 0; step < steps(); ++step) {
        if (outputs_[i].active[step]) Compute(group, outputs_[i], step, &row);
      }
      ready_.push_back(std::move(row));
    }
    Release(&group);
  }

  void Release(Group* group) {
    const size_t bytes =
        group->buckets.size() * steps() * sizeof(double) +
        (group->native.empty() ? 0 : steps() * sizeof(HistogramPtr));
    context_.query.ReleaseBytes(static_cast<int64_t>(bytes));
    group->buckets = {};
    group->native = {};
  }

  void Compute(const Group& group, const Output& output, size_t step,
               Row* row) {
    scratch_.clear();
    for (const Group::Bucket& bucket : group.buckets) {
      const double count = bucket.values[step];
      if (!IsStaleNan(count)) scratch_.push_back({bucket.upper, count});
    }
    const bool native = !group.native.empty() && group.native[step] != nullptr;
    if (native && !scratch_.empty()) {
      annotations().MixedClassicNative(group.metric, VectorPosition());
    } else if (native) {
      row->SetFloat(step, Native(output, step, *group.native[step], group));
    } else if (!scratch_.empty()) {
      row->SetFloat(step, Classic(output, step, &scratch_, group));
    }
  }

  const PlanNode& node_;
  std::vector<OperatorPtr> arguments_;
  const std::vector<std::string> strings_;
  const size_t vector_argument_;
  HeldBytes held_;
  PacedCheck check_;
  std::vector<SeriesInfo> series_;  ///< outputs_.size() for each group
  std::vector<InputSeries> inputs_;
  std::vector<Group> groups_;
  absl::flat_hash_map<std::string, size_t> group_of_;
  std::vector<ClassicBucket> scratch_;
  Row input_row_;
  std::deque<Row> ready_;
  bool input_done_ = false;
  size_t next_flushed_ = 0;
};

class QuantileOperator : public HistogramOperator {
 public:
  explicit QuantileOperator(OperatorCall call)
      : HistogramOperator(std::move(call), 1) {}

 protected:
  QuantileOperator(OperatorCall call, size_t vector_argument)
      : HistogramOperator(std::move(call), vector_argument) {}

  absl::Status ReadOutputs() override {
    VARVE_ASSIGN_OR_RETURN(std::vector<double> quantiles, Scalar(0));
    CheckQuantiles(quantiles, 0);
    Output& output = outputs_.emplace_back();
    output.active.assign(quantiles.size(), true);
    output.upper = std::move(quantiles);
    return absl::OkStatus();
  }

  void CheckQuantiles(const std::vector<double>& quantiles, size_t argument) {
    for (const double q : quantiles) {
      if (q >= 0 && q <= 1) continue;
      annotations().InvalidQuantile(q, ArgumentPosition(argument));
    }
  }

  double Classic(const Output& output, size_t step,
                 std::vector<ClassicBucket>* buckets,
                 const Group& group) override {
    const ClassicQuantile result = QuantileOf(output.upper[step], buckets);
    if (result.forced_monotonicity) {
      annotations().ForcedMonotonicity(
          ResultName(group),
          {grid_.At(static_cast<int64_t>(step)), result.lifted_first,
           result.lifted_last, result.lifted_most},
          VectorPosition());
    }
    return result.value;
  }

  double Native(const Output& output, size_t step,
                const FloatHistogram& histogram, const Group& group) override {
    const NativeResult result = QuantileOf(output.upper[step], histogram);
    if (result.nan != NanEffect::kNone) {
      annotations().NanObservationsInQuantile(
          ResultName(group), result.nan == NanEffect::kResultNan,
          VectorPosition());
    }
    return result.value;
  }
};

/// histogram_quantiles(v, label, q...): a quantile that changes over the steps
/// is a series of its own for each of its values.
class QuantilesOperator final : public QuantileOperator {
 public:
  explicit QuantilesOperator(OperatorCall call)
      : QuantileOperator(std::move(call), 0) {}

 private:
  absl::Status ReadOutputs() override {
    label_name_ = StringArgument(1);
    if (label_name_.empty() || !IsValidUtf8(label_name_)) {
      return FailedPrecondition(
          "invalid label name in histogram_quantiles(): {}", label_name_);
    }
    for (size_t i = 2; i < argument_count(); ++i) {
      VARVE_ASSIGN_OR_RETURN(const std::vector<double> quantiles, Scalar(i));
      CheckQuantiles(quantiles, i);
      AddOutputs(quantiles);
    }
    return absl::OkStatus();
  }

  void AddOutputs(const std::vector<double>& quantiles) {
    absl::flat_hash_map<std::string, size_t> known;
    for (size_t step = 0; step < quantiles.size(); ++step) {
      std::string text = FormatOpenMetrics(quantiles[step]);
      const auto [it, is_new] = known.try_emplace(text, outputs_.size());
      if (is_new) {
        Output& output = outputs_.emplace_back();
        output.label_value = std::move(text);
        output.upper = quantiles;
        output.active.assign(quantiles.size(), false);
      }
      outputs_[it->second].active[step] = true;
    }
  }
};

class FractionOperator final : public HistogramOperator {
 public:
  explicit FractionOperator(OperatorCall call)
      : HistogramOperator(std::move(call), 2) {}

 private:
  absl::Status ReadOutputs() override {
    Output& output = outputs_.emplace_back();
    VARVE_ASSIGN_OR_RETURN(output.lower, Scalar(0));
    VARVE_ASSIGN_OR_RETURN(output.upper, Scalar(1));
    output.active.assign(output.upper.size(), true);
    return absl::OkStatus();
  }

  double Classic(const Output& output, size_t step,
                 std::vector<ClassicBucket>* buckets, const Group&) override {
    return FractionOf(output.lower[step], output.upper[step], buckets);
  }

  double Native(const Output& output, size_t step,
                const FloatHistogram& histogram, const Group& group) override {
    const NativeResult result =
        FractionOf(output.lower[step], output.upper[step], histogram);
    if (result.nan != NanEffect::kNone) {
      annotations().NanObservationsInFraction(ResultName(group),
                                              VectorPosition());
    }
    return result.value;
  }
};

template <typename T>
absl::StatusOr<OperatorPtr> Make(OperatorCall call) {
  EvalContext& context = call.context;
  return MakeMergeDuplicates(std::make_unique<T>(std::move(call)), context,
                             Duplicates::kMerge);
}

double Count(const FloatHistogram& h) { return h.count; }
double Sum(const FloatHistogram& h) { return h.sum; }
double Average(const FloatHistogram& h) { return h.sum / h.count; }
double Deviation(const FloatHistogram& h) { return std::sqrt(VarianceOf(h)); }

/// A number of every histogram; floats have none.
template <double (*F)(const FloatHistogram&)>
absl::Status Map(const FunctionCall&, Row* row) {
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (row->HasHistogram(i)) {
      row->SetFloat(i, F(*row->histograms[i]));
    } else {
      row->Remove(i);
    }
  }
  return absl::OkStatus();
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "histogram_avg", .row = Map<Average>, .histograms = true},
    {.name = "histogram_count", .row = Map<Count>, .histograms = true},
    {.name = "histogram_fraction", .make = Make<FractionOperator>},
    {.name = "histogram_quantile", .make = Make<QuantileOperator>},
    {.name = "histogram_quantiles", .make = Make<QuantilesOperator>},
    {.name = "histogram_stddev", .row = Map<Deviation>, .histograms = true},
    {.name = "histogram_stdvar", .row = Map<VarianceOf>, .histograms = true},
    {.name = "histogram_sum", .row = Map<Sum>, .histograms = true},
};

}  // namespace

std::span<const FunctionImpl> HistogramFunctions() { return kFunctions; }

}  // namespace varve::promql
