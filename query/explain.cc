#include "query/explain.h"

#include <fmt/format.h>

#include <algorithm>

namespace varve::promql {
namespace {

/// Counts what happens between its construction and its end.
class Meter {
 public:
  Meter(const QueryContext& query, OperatorCost* cost)
      : query_(query),
        cost_(cost),
        began_ns_(query.clock()->MonotonicNs()),
        samples_(query.samples()) {}
  ~Meter() {
    cost_->time_ns += query_.clock()->MonotonicNs() - began_ns_;
    cost_->samples += query_.samples() - samples_;
    cost_->bytes_max = std::max(cost_->bytes_max, query_.bytes());
  }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

 private:
  const QueryContext& query_;
  OperatorCost* const cost_;
  const int64_t began_ns_;
  const int64_t samples_;
};

class Profiled final : public Operator {
 public:
  Profiled(EvalContext& context, OperatorCost* cost, OperatorPtr inner)
      : Operator(context, inner->grid()),
        cost_(cost),
        inner_(std::move(inner)) {}

  bool SetBatches(const Batching& batching) override {
    return inner_->SetBatches(batching);
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    const Meter meter(context_.query, cost_);
    auto series = inner_->Series();
    if (series.ok()) cost_->series += static_cast<int64_t>((*series)->size());
    return series;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    const Meter meter(context_.query, cost_);
    return inner_->Next(row);
  }

 private:
  OperatorCost* const cost_;
  const OperatorPtr inner_;
};

std::string_view NameOf(PlanKind kind) {
  switch (kind) {
    case PlanKind::kNumber:
      return "number";
    case PlanKind::kString:
      return "string";
    case PlanKind::kSelector:
      return "selector";
    case PlanKind::kRange:
      return "range selector";
    case PlanKind::kSubquery:
      return "subquery";
    case PlanKind::kFunction:
      return "function";
    case PlanKind::kInfo:
      return "info";
    case PlanKind::kRangeCall:
      return "range function";
    case PlanKind::kTimestamp:
    case PlanKind::kStartTimestamp:
      return "timestamps";
    case PlanKind::kAggregate:
      return "aggregation";
    case PlanKind::kBinary:
      return "binary";
    case PlanKind::kNegate:
      return "negation";
    case PlanKind::kInvariant:
      return "once for all steps";
  }
  return "";
}

std::vector<std::string> DetailsOf(const PlanNode& node) {
  std::vector<std::string> out;
  const auto ms = [&out](std::string_view name, int64_t value) {
    if (value != 0) out.push_back(fmt::format("{}={}ms", name, value));
  };
  if (node.anchor.fixed) {
    out.push_back(fmt::format("at={}ms", node.anchor.at_ms));
  }
  ms("offset", node.anchor.offset_ms);
  ms("range", node.range_ms);
  ms("step", node.inner_step_ms);
  ms("before", node.before_ms);
  ms("after", node.after_ms);
  return out;
}

}  // namespace

OperatorPtr MakeProfiled(const PlanNode& node, EvalContext& context,
                         Profile* profile, OperatorPtr inner) {
  return std::make_unique<Profiled>(context, &(*profile)[&node],
                                    std::move(inner));
}

Explanation Explain(const PlanNode& node, const Profile* profile) {
  Explanation out;
  out.op = NameOf(node.kind);
  if (node.expr != nullptr) out.text = ToString(*node.expr);
  out.details = DetailsOf(node);
  if (profile != nullptr) {
    const auto it = profile->find(&node);
    if (it != profile->end()) out.cost = it->second;
  }
  for (const PlanPtr& input : node.inputs) {
    out.inputs.push_back(Explain(*input, profile));
  }
  return out;
}

}  // namespace varve::promql
