#include <absl/container/flat_hash_map.h>

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "query/aggregate.h"
#include "query/histogram_text.h"
#include "query/label_key.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// The shortest text that reads back as the same number, never an exponent:
/// above 2^53 the shortest digits and then zeros, as Prometheus writes it.
std::string ValueText(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char text[512];
  if (std::abs(v) < 0x1p53) {
    const auto end =
        std::to_chars(text, text + sizeof(text), v, std::chars_format::fixed);
    return std::string(text, end.ptr);
  }
  const auto end = std::to_chars(text, text + sizeof(text), v,
                                 std::chars_format::scientific);
  const std::string_view shortest(text, end.ptr - text);
  const size_t e = shortest.find('e');
  std::string out;
  for (const char c : shortest.substr(0, e)) {
    if (c != '.') out += c;
  }
  const size_t sign = v < 0 ? 1 : 0;
  const size_t exponent = std::stoul(std::string(shortest.substr(e + 2)));
  out.append(exponent + 1 - (out.size() - sign), '0');
  return out;
}

/// The labels of the output depend on the values, so all of the input is read
/// before Series() can answer; what is held are the counts.
class CountValues final : public Operator {
 public:
  CountValues(const PlanNode& node, EvalContext& context, OperatorPtr input)
      : Operator(context, input->grid()),
        aggregate_(As<AggregateExpr>(*node.expr)),
        input_(std::move(input)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    const std::string& label = As<StringLiteral>(*Parameter()).value;
    if (label.empty() || !IsValidUtf8(label)) {
      return FailedPrecondition("invalid label name {}", label);
    }
    std::vector<std::string> names = aggregate_.grouping;
    if (!aggregate_.without) names.push_back(label);
    const LabelSubset subset = aggregate_.without
                                   ? LabelSubset::Without(std::move(names))
                                   : LabelSubset::Only(std::move(names));
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* in, input_->Series());
    Row row;
    while (true) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(&row));
      if (!more) return &series_;
      VARVE_RETURN_IF_ERROR(
          Count((*in)[row.series].labels, label, subset, row));
    }
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (next_ == counts_.size()) return false;
    row->series = static_cast<uint32_t>(next_);
    row->Clear(grid_.count);
    row->values = std::move(counts_[next_++]);
    for (double& v : row->values) {
      if (v == 0) v = StaleNan();
    }
    return true;
  }

 private:
  const Expr* Parameter() const {
    const Expr* e = aggregate_.parameter.get();
    while (e->kind == ExprKind::kParen) e = As<ParenExpr>(*e).expr.get();
    return e;
  }

  absl::Status Count(const Labels& labels, const std::string& label,
                     const LabelSubset& subset, const Row& row) {
    absl::flat_hash_map<uint64_t, uint32_t> output_of;  // by bits of the value
    for (size_t step = 0; step < steps(); ++step) {
      if (row.HasHistogram(step)) {
        LabelsBuilder with_value(labels);
        with_value.Set(label, HistogramText(*row.histograms[step]));
        VARVE_ASSIGN_OR_RETURN(const uint32_t output,
                               OutputFor(subset.Of(with_value.Build())));
        counts_[output][step] += 1;
        continue;
      }
      if (!row.HasFloat(step)) continue;
      const double v = row.values[step];
      const auto [it, is_new] =
          output_of.try_emplace(std::bit_cast<uint64_t>(v), 0);
      if (is_new) {
        LabelsBuilder with_value(labels);
        with_value.Set(label, ValueText(v));
        VARVE_ASSIGN_OR_RETURN(it->second,
                               OutputFor(subset.Of(with_value.Build())));
      }
      counts_[it->second][step] += 1;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> OutputFor(Labels labels) {
    const auto next = static_cast<uint32_t>(series_.size());
    const auto [it, is_new] =
        known_.try_emplace(std::string(labels.packed()), next);
    if (is_new) {
      VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(static_cast<int64_t>(
          2 * labels.packed().size() + steps() * sizeof(double) + 100)));
      series_.push_back({std::move(labels), false});
      counts_.emplace_back(steps(), 0.0);
    }
    return it->second;
  }

  const AggregateExpr& aggregate_;
  const OperatorPtr input_;
  absl::flat_hash_map<std::string, uint32_t> known_;
  std::vector<SeriesInfo> series_;
  std::vector<std::vector<double>> counts_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeCountValues(const PlanNode& node,
                                            EvalContext& context,
                                            OperatorPtr input) {
  return std::make_unique<CountValues>(node, context, std::move(input));
}

}  // namespace varve::promql
