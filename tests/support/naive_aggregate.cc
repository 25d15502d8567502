#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>

#include "storage/status_macros.h"
#include "tests/support/naive_promql.h"

namespace varve::promql {
namespace {

Labels GroupLabels(const AggregateExpr& aggregate, const Labels& labels) {
  LabelsBuilder out(labels);
  if (!aggregate.without) return out.Keep(aggregate.grouping).Build();
  for (const std::string& name : aggregate.grouping) out.Del(name);
  return out.Del(kMetricName).Build();
}

/// Welford's method, as Prometheus has it for aggregations.
double Variance(const std::vector<double>& values) {
  double n = 0;
  double mean = 0;
  double squares = 0;
  for (double v : values) {
    ++n;
    const double delta = v - mean;
    mean += delta / n;
    squares += delta * (v - mean);
  }
  return squares / n;
}

double Sum(const std::vector<double>& values) {
  NaiveSum sum;
  sum.sum = values[0];
  for (size_t i = 1; i < values.size(); ++i) sum.Add(values[i]);
  return std::isinf(sum.sum) ? sum.sum : sum.sum + sum.c;
}

double Extreme(const std::vector<double>& values, bool max) {
  double best = values[0];
  for (double v : values) {
    if (std::isnan(best) || (max ? v > best : v < best)) best = v;
  }
  return best;
}

std::string Text(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v < 0 ? "-Inf" : "+Inf";
  // As few digits as read back as the same number; zeros stand for the others.
  for (int digits = 1; digits <= 400; ++digits) {
    const std::string text = fmt::format("{:.{}e}", v, digits - 1);
    if (std::strtod(text.c_str(), nullptr) != v) continue;
    const int exponent = std::stoi(text.substr(text.find('e') + 1));
    if (exponent < digits) {
      return fmt::format("{:.{}f}", v, std::max(0, digits - 1 - exponent));
    }
    std::string out = text.substr(0, text.find('e'));
    std::erase(out, '.');
    out.append(exponent - digits + 1, '0');
    return out;
  }
  return "no text";
}

absl::StatusOr<NaiveVector> CountValues(const AggregateExpr& aggregate,
                                        const NaiveVector& input) {
  const Expr* parameter = aggregate.parameter.get();
  while (parameter->kind == ExprKind::kParen) {
    parameter = As<ParenExpr>(*parameter).expr.get();
  }
  const std::string& name = As<StringLiteral>(*parameter).value;
  NaiveVector out;
  std::map<std::string, size_t> places;
  for (const NaivePoint& p : input) {
    if (p.histogram != nullptr) return absl::UnimplementedError("text");
    LabelsBuilder labels(GroupLabels(aggregate, p.labels));
    labels.Set(name, Text(p.value));
    const Labels made = labels.Build();
    const auto [it, is_new] =
        places.try_emplace(std::string(made.packed()), out.size());
    if (is_new) out.push_back({made, 0, nullptr});
    ++out[it->second].value;
  }
  return out;
}

/// The best k of a group. Which of several equal points at the last place stay
/// is an accident of the heap.
absl::StatusOr<NaiveVector> Best(const NaiveVector& members, bool top,
                                 double k_wanted) {
  NaiveVector floats;
  for (const NaivePoint& p : members) {
    if (p.histogram == nullptr) floats.push_back(p);
  }
  if (std::isnan(k_wanted)) return absl::UnimplementedError("k is NaN");
  if (k_wanted < 1) return NaiveVector();
  const auto before = [&](const NaivePoint& a, const NaivePoint& b) {
    if (std::isnan(a.value)) return false;
    if (std::isnan(b.value)) return true;
    return top ? a.value > b.value : a.value < b.value;
  };
  std::stable_sort(floats.begin(), floats.end(), before);
  if (k_wanted >= static_cast<double>(floats.size())) return floats;
  const auto k = static_cast<size_t>(k_wanted);
  if (!before(floats[k - 1], floats[k])) return absl::UnimplementedError("tie");
  floats.resize(k);
  return floats;
}

absl::StatusOr<NaiveVector> Choose(const AggregateExpr& aggregate,
                                   const NaiveVector& members, double k) {
  if (aggregate.op != AggregateOp::kLimitk) {
    return Best(members, aggregate.op == AggregateOp::kTopk, k);
  }
  NaiveVector out = members;
  if (k < static_cast<double>(out.size())) {
    out.resize(static_cast<size_t>(std::max(k, 0.0)));
  }
  return out;
}

bool SumOfHistograms(const NaiveVector& members, bool mean, NaivePoint* out) {
  NaiveHistogram sum;
  bool first = true;
  for (const NaivePoint& p : members) {
    if (p.histogram == nullptr) return false;
    sum = first ? *p.histogram : sum.Plus(*p.histogram, 1);
    first = false;
  }
  if (mean) sum = sum.Scaled(1 / static_cast<double>(members.size()));
  out->histogram = std::make_shared<const NaiveHistogram>(sum);
  return true;
}

/// One value for a group; false when there is none.
bool Reduce(AggregateOp op, const NaiveVector& members, double parameter,
            NaivePoint* out) {
  out->value =
      op == AggregateOp::kCount ? static_cast<double>(members.size()) : 1;
  if (op == AggregateOp::kCount || op == AggregateOp::kGroup) return true;
  std::vector<double> values;
  for (const NaivePoint& p : members) {
    if (p.histogram == nullptr) values.push_back(p.value);
  }
  const bool adds = op == AggregateOp::kSum || op == AggregateOp::kAvg;
  if (adds && values.size() < members.size()) {
    return SumOfHistograms(members, op == AggregateOp::kAvg, out);
  }
  if (values.empty()) return false;
  switch (op) {
    case AggregateOp::kSum:
      out->value = Sum(values);
      return true;
    case AggregateOp::kAvg:
      out->value = NaiveMean(values);
      return true;
    case AggregateOp::kMin:
    case AggregateOp::kMax:
      out->value = Extreme(values, op == AggregateOp::kMax);
      return true;
    case AggregateOp::kStdvar:
      out->value = Variance(values);
      return true;
    case AggregateOp::kStddev:
      out->value = std::sqrt(Variance(values));
      return true;
    default:
      out->value = NaiveQuantile(parameter, values);
      return true;
  }
}

}  // namespace

void NaiveSum::Add(double v) {
  const double t = sum + v;
  if (std::isinf(t)) {
    c = 0;
  } else if (std::abs(sum) >= std::abs(v)) {
    c += (sum - t) + v;
  } else {
    c += (v - t) + sum;
  }
  sum = t;
}

double NaiveMean(const std::vector<double>& values) {
  NaiveSum sum;
  sum.sum = values[0];
  size_t i = 1;
  for (; i < values.size(); ++i) {
    NaiveSum next = sum;
    next.Add(values[i]);
    if (std::isinf(next.sum)) break;
    sum = next;
  }
  const auto added = static_cast<double>(i);
  NaiveSum mean;
  mean.sum = sum.sum / added;
  mean.c = sum.c / added;
  // The sum is too large: the rest goes into the mean one by one.
  for (; i < values.size(); ++i) {
    const double n = static_cast<double>(i) + 1;
    const double q = (n - 1) / n;
    mean.sum *= q;
    mean.c *= q;
    mean.Add(values[i] / n);
  }
  return mean.sum + mean.c;
}

double NaiveQuantile(double q, std::vector<double> values) {
  if (values.empty() || std::isnan(q)) return NAN;
  if (q < 0) return -INFINITY;
  if (q > 1) return INFINITY;
  std::sort(values.begin(), values.end(), [](double a, double b) {
    return std::isnan(a) ? !std::isnan(b) : a < b;
  });
  const auto n = static_cast<double>(values.size());
  const double rank = q * (n - 1);
  const double lower = std::floor(rank);
  const double weight = rank - lower;
  const double upper = std::min(n - 1, lower + 1);
  return values[static_cast<size_t>(lower)] * (1 - weight) +
         values[static_cast<size_t>(upper)] * weight;
}

absl::StatusOr<NaiveVector> NaiveAggregate(const AggregateExpr& aggregate,
                                           const NaiveVector& input,
                                           double parameter) {
  if (aggregate.op == AggregateOp::kLimitRatio) {
    return absl::UnimplementedError("limit_ratio");
  }
  if (aggregate.op == AggregateOp::kCountValues) {
    return CountValues(aggregate, input);
  }
  const bool chooses = aggregate.op == AggregateOp::kTopk ||
                       aggregate.op == AggregateOp::kBottomk ||
                       aggregate.op == AggregateOp::kLimitk;
  std::vector<NaiveVector> groups;  // in the order of their first points
  std::map<std::string, size_t> places;
  for (const NaivePoint& p : input) {
    const Labels labels = GroupLabels(aggregate, p.labels);
    const auto [it, is_new] =
        places.try_emplace(std::string(labels.packed()), groups.size());
    if (is_new) groups.emplace_back();
    groups[it->second].push_back(p);
  }
  NaiveVector out;
  for (const NaiveVector& members : groups) {
    if (chooses) {
      VARVE_ASSIGN_OR_RETURN(const NaiveVector chosen,
                             Choose(aggregate, members, parameter));
      out.insert(out.end(), chosen.begin(), chosen.end());
      continue;
    }
    NaivePoint point{GroupLabels(aggregate, members[0].labels), 0, nullptr};
    if (Reduce(aggregate.op, members, parameter, &point)) out.push_back(point);
  }
  return out;
}

}  // namespace varve::promql
