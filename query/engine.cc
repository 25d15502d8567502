#include "query/engine.h"

#include <algorithm>
#include <utility>

#include "query/bounds.h"
#include "query/explain.h"
#include "query/merge_duplicates.h"
#include "query/parser.h"
#include "query/plan.h"
#include "query/range_input.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

absl::Status CheckParameters(const QueryParameters& p) {
  const auto in_range = [](int64_t t) {
    return t >= -kTimeMsMax && t <= kTimeMsMax;
  };
  if (!in_range(p.start_ms) || !in_range(p.end_ms)) {
    return InvalidArgument("the time of the query is out of range");
  }
  if (p.step_ms < 0 || p.step_ms > kTimeMsMax) {
    return InvalidArgument(
        "zero or negative query resolution step widths are not accepted. Try a "
        "positive integer");
  }
  if (p.end_ms < p.start_ms) {
    return InvalidArgument("end timestamp must not be before start time");
  }
  return absl::OkStatus();
}

/// The points of a row as a result series.
ResultSeries MakeSeries(const Labels& labels, const StepGrid& grid,
                        const Row& row) {
  ResultSeries out;
  out.labels = labels;
  for (size_t i = 0; i < row.values.size(); ++i) {
    const int64_t t = grid.At(static_cast<int64_t>(i));
    if (row.HasHistogram(i)) {
      out.histograms.push_back({t, row.histograms[i]});
    } else if (row.HasFloat(i)) {
      out.floats.push_back({t, row.values[i]});
    }
  }
  return out;
}

bool HasPoints(const ResultSeries& series) {
  return !series.floats.empty() || !series.histograms.empty();
}

absl::Status Charge(EvalContext& context, const ResultSeries& series) {
  VARVE_RETURN_IF_ERROR(context.query.HoldSamples(
      static_cast<int64_t>(series.floats.size() + series.histograms.size())));
  return context.query.ChargeBytes(static_cast<int64_t>(
      sizeof(ResultSeries) + series.labels.packed().size() +
      series.floats.size() * sizeof(ResultPoint) +
      series.histograms.size() * sizeof(ResultHistogram)));
}

/// A vector or scalar expression.
absl::Status RunVector(const Plan& plan, EvalContext& context,
                       QueryResult* result) {
  VARVE_ASSIGN_OR_RETURN(OperatorPtr op, Build(*plan.root, context, plan.grid));
  if (context.options.delayed_name_removal) {
    op = MakeNameRemoval(std::move(op), context);
  }
  VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* series, op->Series());
  Row row;
  PacedCheck check(context.query);
  while (true) {
    VARVE_RETURN_IF_ERROR(check());
    VARVE_ASSIGN_OR_RETURN(const bool more, op->Next(&row));
    if (!more) return absl::OkStatus();
    ResultSeries out = MakeSeries((*series)[row.series].labels, plan.grid, row);
    if (!HasPoints(out)) continue;
    VARVE_RETURN_IF_ERROR(Charge(context, out));
    result->samples_peak += static_cast<int64_t>(out.floats.size());
    result->series.push_back(std::move(out));
  }
}

/// A range vector at the top of an instant query: its samples as they are.
absl::Status RunMatrix(const Plan& plan, EvalContext& context,
                       QueryResult* result) {
  if (plan.root->extension != Extension::kNone) {
    return Unimplemented(
        "the modifiers smoothed and anchored are not implemented yet for a "
        "range vector that is not the argument of a function");
  }
  VARVE_ASSIGN_OR_RETURN(std::unique_ptr<RangeInput> input,
                         MakeRangeInput(*plan.root, context, plan.grid));
  VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* series,
                         input->Series());
  RangeSeries samples;
  while (true) {
    VARVE_ASSIGN_OR_RETURN(const bool more, input->Next(&samples));
    if (!more) return absl::OkStatus();
    ResultSeries out;
    const SeriesInfo& info = (*series)[samples.series];
    out.labels =
        info.drop_name ? WithoutMetadataLabels(info.labels) : info.labels;
    for (size_t i = 0; i < samples.times.size(); ++i) {
      out.floats.push_back({samples.times[i], samples.values[i]});
    }
    for (size_t i = 0; i < samples.histograms.size(); ++i) {
      out.histograms.push_back(
          {samples.histogram_times[i], samples.histograms[i]});
    }
    if (!HasPoints(out)) continue;
    VARVE_RETURN_IF_ERROR(Charge(context, out));
    context.samples_total +=
        static_cast<int64_t>(out.floats.size() + out.histograms.size());
    result->series.push_back(std::move(out));
  }
}

absl::Status SortByLabels(const EvalContext& context, QueryResult* result) {
  return CheckedSort(context.query, &result->series,
                     [](const ResultSeries& a, const ResultSeries& b) {
                       return a.labels < b.labels;
                     });
}

absl::Status RunPlan(const Plan& plan, EvalContext& context,
                     QueryResult* result) {
  const ValueType type = plan.root->type;
  if (type == ValueType::kString) {
    result->type = ValueType::kString;
    result->string = As<StringLiteral>(*plan.root->expr).value;
    result->string_ms = plan.grid.start_ms;
    return absl::OkStatus();
  }
  if (type == ValueType::kMatrix) {
    result->type = ValueType::kMatrix;
    VARVE_RETURN_IF_ERROR(RunMatrix(plan, context, result));
    return SortByLabels(context, result);
  }
  VARVE_RETURN_IF_ERROR(RunVector(plan, context, result));
  if (!plan.instant) {
    result->type = ValueType::kMatrix;
    return SortByLabels(context, result);
  }
  result->type = type;
  if (type == ValueType::kScalar) {
    result->scalar = result->series.at(0).floats.at(0);
    result->series.clear();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QueryResult> Engine::Run(
    QueryContext& context, const SeriesSource& source, std::string_view query,
    const QueryParameters& parameters) const {
  VARVE_RETURN_IF_ERROR(CheckParameters(parameters));
  VARVE_ASSIGN_OR_RETURN(ExprPtr ast, ParseExpr(query));
  const ValueType type = TypeOf(*ast);
  if (parameters.step_ms != 0 && type != ValueType::kScalar &&
      type != ValueType::kVector) {
    return InvalidArgument(
        "invalid expression type \"{}\" for range query, must be Scalar or "
        "instant Vector",
        DocumentedType(type));
  }
  VARVE_ASSIGN_OR_RETURN(const std::unique_ptr<const Plan> plan,
                         MakePlan(std::move(ast), query, parameters, options_));
  Annotations annotations(query);
  EvalContext eval{context, source, options_, annotations,
                   parameters.lookback_ms > 0 ? parameters.lookback_ms
                                              : options_.lookback_ms};
  QueryResult result;
  Profile profile;
  const auto explain = [&](const Profile* costs) {
    result.explanation =
        std::make_shared<const Explanation>(Explain(*plan->root, costs));
  };
  if (parameters.explain == ExplainMode::kPlan) {
    explain(nullptr);
    return result;
  }
  if (parameters.explain == ExplainMode::kAnalyze) eval.profile = &profile;
  const absl::Status status = RunPlan(*plan, eval, &result);
  if (!status.ok()) return status;
  result.warnings = annotations.Warnings();
  for (std::string& text : context.warnings()) {
    result.warnings.push_back(std::move(text));
  }
  result.infos = annotations.Infos();
  result.samples_total = eval.samples_total;
  if (eval.profile != nullptr) explain(&profile);
  return result;
}

}  // namespace varve::promql
