#include "tests/support/naive_promql.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <set>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

using HistogramPtr = std::shared_ptr<const NaiveHistogram>;

bool Matches(const Labels& labels, const std::vector<Matcher>& matchers) {
  return std::all_of(matchers.begin(), matchers.end(), [&](const Matcher& m) {
    return m.Matches(labels.Get(m.name()));
  });
}

bool IsStalePoint(const MapSource::Point& p) {
  return p.histogram != nullptr ? IsStale(*p.histogram) : IsStaleNan(p.value);
}

HistogramPtr HistogramOf(const MapSource::Point& p) {
  if (p.histogram == nullptr) return nullptr;
  return std::make_shared<const NaiveHistogram>(
      NaiveHistogram::Of(*p.histogram));
}

const Expr& Bare(const Expr& expr) {
  const Expr* e = &expr;
  while (e->kind == ExprKind::kParen) e = As<ParenExpr>(*e).expr.get();
  return *e;
}

absl::Status CheckUnique(const NaiveVector& points) {
  std::set<std::string> seen;
  for (const NaivePoint& p : points) {
    if (!seen.emplace(p.labels.packed()).second) {
      return absl::FailedPreconditionError("equal label sets");
    }
  }
  return absl::OkStatus();
}

Labels AbsentLabels(const Expr& expr) {
  const std::vector<Matcher>* matchers = nullptr;
  if (expr.kind == ExprKind::kVectorSelector) {
    matchers = &As<VectorSelector>(expr).matchers;
  } else if (expr.kind == ExprKind::kMatrixSelector) {
    matchers = &As<MatrixSelector>(expr).selector->matchers;
  } else {
    return Labels();
  }
  std::map<std::string, int> uses;
  for (const Matcher& m : *matchers) ++uses[m.name()];
  LabelsBuilder out;
  for (const Matcher& m : *matchers) {
    if (m.name() == kMetricName || m.type() != MatchType::kEqual) continue;
    if (uses[m.name()] == 1) out.Set(m.name(), m.value());
  }
  return out.Build();
}

/// Go's math.Max and math.Min: infinities win over NaN.
double GoMax(double a, double b) {
  if (a == INFINITY || b == INFINITY) return INFINITY;
  if (std::isnan(a) || std::isnan(b)) return NAN;
  if (a == 0 && b == 0) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
double GoMin(double a, double b) {
  if (a == -INFINITY || b == -INFINITY) return -INFINITY;
  if (std::isnan(a) || std::isnan(b)) return NAN;
  if (a == 0 && b == 0) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

double Date(std::string_view f, double seconds) {
  const auto t = static_cast<time_t>(seconds);
  std::tm tm = {};
  gmtime_r(&t, &tm);
  if (f == "minute") return tm.tm_min;
  if (f == "hour") return tm.tm_hour;
  if (f == "day_of_week") return tm.tm_wday;
  if (f == "day_of_month") return tm.tm_mday;
  if (f == "day_of_year") return tm.tm_yday + 1;
  if (f == "month") return tm.tm_mon + 1;
  if (f == "year") return tm.tm_year + 1900;
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31};
  const int year = tm.tm_year + 1900;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return tm.tm_mon == 1 && leap ? 29 : kDays[tm.tm_mon];
}

bool IsDate(std::string_view f) {
  return f == "minute" || f == "hour" || f == "month" || f == "year" ||
         f.starts_with("day");
}

/// A function of one number (and of its scalar arguments).
absl::StatusOr<double> OfNumber(std::string_view f, double v,
                                const std::vector<double>& s) {
  if (IsDate(f)) {
    if (!(std::abs(v) < 1e11)) return Unimplemented("{} of {}", f, v);
    return Date(f, v);
  }
  if (f == "abs") return std::abs(v);
  if (f == "ceil") return std::ceil(v);
  if (f == "floor") return std::floor(v);
  if (f == "sgn") return v < 0 ? -1 : v > 0 ? 1 : v;
  if (f == "sqrt") return std::sqrt(v);
  if (f == "exp") return std::exp(v);
  if (f == "ln") return std::log(v);
  if (f == "log2") return std::log2(v);
  if (f == "log10") return std::log10(v);
  if (f == "sin") return std::sin(v);
  if (f == "cos") return std::cos(v);
  if (f == "atan") return std::atan(v);
  if (f == "tanh") return std::tanh(v);
  if (f == "deg") return v * 180 / M_PI;
  if (f == "rad") return v * M_PI / 180;
  if (f == "clamp_min") return GoMax(s[0], v);
  if (f == "clamp_max") return GoMin(s[0], v);
  if (f == "clamp") return GoMax(s[0], GoMin(s[1], v));
  if (f == "round") {
    const double inverse = 1 / (s.empty() ? 1 : s[0]);
    return std::floor(v * inverse + 0.5) / inverse;
  }
  return Unimplemented("{}", f);
}

/// `$1`, `$name` and `${name}` replaced by what the regex found.
std::string Expanded(const RE2& regex, const std::string& replacement,
                     const std::vector<re2::StringPiece>& groups) {
  static const RE2 kReference(R"(([^$]*)(?:\$(?:\{(\w+)\}|(\w+)))?)");
  std::string out;
  re2::StringPiece rest(replacement);
  std::string text, braced, plain;
  while (!rest.empty() &&
         RE2::Consume(&rest, kReference, &text, &braced, &plain)) {
    out += text;
    const std::string name = braced + plain;
    if (name.empty()) continue;
    size_t group = groups.size();
    if (const auto it = regex.NamedCapturingGroups().find(name);
        it != regex.NamedCapturingGroups().end()) {
      group = static_cast<size_t>(it->second);
    } else if (name[0] >= '0' && name[0] <= '9') {
      group = static_cast<size_t>(std::stoi(name));
    }
    if (group < groups.size()) out += groups[group].ToString();
  }
  return out;
}

const std::string& Text(const Call& call, size_t argument) {
  return As<StringLiteral>(Bare(*call.arguments[argument])).value;
}

absl::StatusOr<NaiveVector> LabelReplace(const Call& call, NaiveVector points) {
  const RE2 regex("(?s)^(?:" + Text(call, 4) + ")$");
  for (NaivePoint& p : points) {
    const std::string from(p.labels.Get(Text(call, 3)));
    std::vector<re2::StringPiece> groups(
        static_cast<size_t>(regex.NumberOfCapturingGroups()) + 1);
    if (!regex.Match(from, 0, from.size(), RE2::UNANCHORED, groups.data(),
                     static_cast<int>(groups.size()))) {
      continue;
    }
    LabelsBuilder labels(p.labels);
    labels.Set(Text(call, 1), Expanded(regex, Text(call, 2), groups));
    p.labels = labels.Build();
  }
  VARVE_RETURN_IF_ERROR(CheckUnique(points));
  return points;
}

absl::StatusOr<NaiveVector> LabelJoin(const Call& call, NaiveVector points) {
  for (NaivePoint& p : points) {
    std::string joined;
    for (size_t i = 3; i < call.arguments.size(); ++i) {
      if (i > 3) joined += Text(call, 2);
      joined += p.labels.Get(Text(call, i));
    }
    LabelsBuilder labels(p.labels);
    labels.Set(Text(call, 1), joined);
    p.labels = labels.Build();
  }
  VARVE_RETURN_IF_ERROR(CheckUnique(points));
  return points;
}

NaiveVector OneNumber(double v) {
  NaivePoint point;
  point.value = v;
  return {point};
}

/// scalar(): the one float there is.
double TheOnly(const NaiveVector& points) {
  double found = NAN;
  int count = 0;
  for (const NaivePoint& p : points) {
    if (p.histogram != nullptr) continue;
    found = p.value;
    ++count;
  }
  return count == 1 ? found : NAN;
}

/// Functions that look into histograms and take no notice of floats.
bool OfHistogram(std::string_view f, const NaiveHistogram& h, double* out) {
  if (f == "histogram_count") *out = h.count;
  if (f == "histogram_sum") *out = h.sum;
  if (f == "histogram_avg") *out = h.sum / h.count;
  return f == "histogram_count" || f == "histogram_sum" || f == "histogram_avg";
}

}  // namespace

Labels NaiveWithoutName(const Labels& labels) {
  return LabelsBuilder(labels).Del(kMetricName).Build();
}

int64_t NaiveEvaluator::Shifted(const TimeShift& shift, int64_t t) const {
  if (shift.anchor == AtAnchor::kTimestamp) t = shift.at_ms;
  if (shift.anchor == AtAnchor::kStart) t = parameters_.start_ms;
  if (shift.anchor == AtAnchor::kEnd) t = parameters_.end_ms;
  return t - shift.offset_ms;
}

NaiveVector NaiveEvaluator::Selector(const VectorSelector& selector, int64_t t,
                                     bool timestamps) const {
  NaiveVector out;
  const int64_t at = Shifted(selector.shift, t);
  for (const auto& [labels, points] : source_.series()) {
    if (!Matches(labels, selector.matchers)) continue;
    const MapSource::Point* newest = nullptr;
    for (const auto& [time, point] : points) {
      if (time > at - lookback_ms_ && time <= at) newest = &point;
    }
    if (newest == nullptr || IsStalePoint(*newest)) continue;
    if (timestamps) {
      const double seconds = static_cast<double>(newest->timestamp_ms) / 1000;
      out.push_back({labels, seconds, nullptr});
    } else {
      out.push_back({labels, newest->value, HistogramOf(*newest)});
    }
  }
  return out;
}

absl::StatusOr<std::vector<NaiveWindow>> NaiveEvaluator::Windows(
    const Expr& expr, int64_t t) const {
  if (expr.kind == ExprKind::kSubquery) {
    return SubqueryWindows(As<SubqueryExpr>(expr), t);
  }
  const auto& range = As<MatrixSelector>(expr);
  const int64_t end = Shifted(range.selector->shift, t);
  const int64_t start = end - range.range_ms;
  std::vector<NaiveWindow> out;
  for (const auto& [labels, points] : source_.series()) {
    if (!Matches(labels, range.selector->matchers)) continue;
    NaiveWindow window{labels, {}, start, end};
    for (const auto& [time, point] : points) {
      if (time <= start || time > end || IsStalePoint(point)) continue;
      window.samples.push_back({time, point.value, HistogramOf(point)});
    }
    if (!window.samples.empty()) out.push_back(std::move(window));
  }
  return out;
}

absl::StatusOr<std::vector<NaiveWindow>> NaiveEvaluator::SubqueryWindows(
    const SubqueryExpr& subquery, int64_t t) const {
  const int64_t end = Shifted(subquery.shift, t);
  const int64_t start = end - subquery.range_ms;
  const int64_t step =
      subquery.step_ms > 0 ? subquery.step_ms : subquery_step_ms_;
  std::vector<NaiveWindow> out;
  std::map<std::string, size_t> index;
  for (int64_t at = start + 1; at <= end; ++at) {
    if (at % step != 0) {
      at += ((-at % step) + step) % step - 1;
      continue;
    }
    VARVE_ASSIGN_OR_RETURN(const NaiveVector points, At(*subquery.expr, at));
    for (const NaivePoint& p : points) {
      const auto [it, is_new] =
          index.try_emplace(std::string(p.labels.packed()), out.size());
      if (is_new) out.push_back({p.labels, {}, start, end});
      out[it->second].samples.push_back({at, p.value, p.histogram});
    }
  }
  return out;
}

absl::StatusOr<double> NaiveEvaluator::ScalarAt(const Expr& expr,
                                                int64_t t) const {
  VARVE_ASSIGN_OR_RETURN(const NaiveVector points, At(expr, t));
  return points.at(0).value;
}

absl::StatusOr<NaiveVector> NaiveEvaluator::RangeFunction(const Call& call,
                                                          size_t matrix,
                                                          int64_t t) const {
  const std::string_view f = call.function->name;
  VARVE_ASSIGN_OR_RETURN(const std::vector<NaiveWindow> windows,
                         Windows(Bare(*call.arguments[matrix]), t));
  std::vector<double> scalars;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    if (i == matrix) continue;
    VARVE_ASSIGN_OR_RETURN(const double s, ScalarAt(*call.arguments[i], t));
    scalars.push_back(s);
  }
  if (f == "absent_over_time") {
    if (!windows.empty()) return NaiveVector();
    return NaiveVector{{AbsentLabels(Bare(*call.arguments[0])), 1, nullptr}};
  }
  NaiveVector out;
  for (const NaiveWindow& window : windows) {
    NaivePoint point;
    VARVE_ASSIGN_OR_RETURN(const bool valid,
                           NaiveOverWindow(f, window, t, scalars, &point));
    if (!valid) continue;
    const bool keeps_name = f == "last_over_time" || f == "first_over_time";
    point.labels = keeps_name ? window.labels : NaiveWithoutName(window.labels);
    out.push_back(std::move(point));
  }
  VARVE_RETURN_IF_ERROR(CheckUnique(out));
  return out;
}

absl::StatusOr<NaiveVector> NaiveEvaluator::Function(const Call& call,
                                                     int64_t t) const {
  const std::string_view f = call.function->name;
  if (f == "time") return OneNumber(static_cast<double>(t) / 1000);
  if (f == "pi") return OneNumber(M_PI);
  NaiveVector points;
  std::vector<double> scalars;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const Expr& argument = *call.arguments[i];
    const ValueType type = TypeOf(argument);
    if (type == ValueType::kMatrix) return RangeFunction(call, i, t);
    if (type == ValueType::kVector) {
      VARVE_ASSIGN_OR_RETURN(points, At(argument, t));
    } else if (type == ValueType::kScalar) {
      VARVE_ASSIGN_OR_RETURN(const double s, ScalarAt(argument, t));
      scalars.push_back(s);
    }
  }
  if (f == "vector") return OneNumber(scalars[0]);
  if (f == "scalar") return OneNumber(TheOnly(points));
  if (f == "label_replace") return LabelReplace(call, std::move(points));
  if (f == "label_join") return LabelJoin(call, std::move(points));
  if (f == "histogram_quantile") {
    return NaiveHistogramQuantile(scalars[0], points);
  }
  if (f == "absent") {
    if (!points.empty()) return NaiveVector();
    return NaiveVector{{AbsentLabels(Bare(*call.arguments[0])), 1, nullptr}};
  }
  if (f == "clamp" && scalars[1] < scalars[0]) return NaiveVector();
  if (f == "timestamp") {
    const Expr& argument = Bare(*call.arguments[0]);
    if (argument.kind == ExprKind::kVectorSelector) {
      points = Selector(As<VectorSelector>(argument), t, true);
    }
  }
  NaiveVector out;
  for (const NaivePoint& p : points) {
    NaivePoint made{NaiveWithoutName(p.labels), 0, nullptr};
    const bool selected =
        Bare(*call.arguments.back()).kind == ExprKind::kVectorSelector;
    if (f == "timestamp") {
      made.value = selected ? p.value : static_cast<double>(t) / 1000;
    } else if (f.starts_with("histogram_")) {
      if (p.histogram == nullptr) continue;
      if (!OfHistogram(f, *p.histogram, &made.value)) {
        return Unimplemented("{}", f);
      }
    } else if (p.histogram != nullptr) {
      continue;
    } else if (f == "sort" || f == "sort_desc") {
      made = p;
    } else {
      VARVE_ASSIGN_OR_RETURN(made.value, OfNumber(f, p.value, scalars));
    }
    out.push_back(std::move(made));
  }
  VARVE_RETURN_IF_ERROR(CheckUnique(out));
  return out;
}

absl::StatusOr<NaiveVector> NaiveEvaluator::Aggregate(
    const AggregateExpr& aggregate, int64_t t) const {
  double parameter = 0;
  if (aggregate.parameter != nullptr &&
      TypeOf(*aggregate.parameter) == ValueType::kScalar) {
    VARVE_ASSIGN_OR_RETURN(parameter, ScalarAt(*aggregate.parameter, t));
  }
  VARVE_ASSIGN_OR_RETURN(const NaiveVector input, At(*aggregate.expr, t));
  if (aggregate.op == AggregateOp::kLimitk &&
      Bare(*aggregate.expr).kind != ExprKind::kVectorSelector) {
    return Unimplemented("limitk: only selectors have an order of their own");
  }
  return NaiveAggregate(aggregate, input, parameter);
}

absl::StatusOr<NaiveVector> NaiveEvaluator::Binary(const BinaryExpr& binary,
                                                   int64_t t) const {
  VARVE_ASSIGN_OR_RETURN(const NaiveVector lhs, At(*binary.lhs, t));
  VARVE_ASSIGN_OR_RETURN(const NaiveVector rhs, At(*binary.rhs, t));
  const bool left_scalar = TypeOf(*binary.lhs) == ValueType::kScalar;
  const bool right_scalar = TypeOf(*binary.rhs) == ValueType::kScalar;
  if (!left_scalar && !right_scalar) {
    return NaiveVectorBinary(binary, lhs, rhs);
  }
  NaiveVector out;
  for (const NaivePoint& p : left_scalar ? rhs : lhs) {
    NaivePoint made;
    bool holds = true;
    VARVE_ASSIGN_OR_RETURN(
        const bool valid,
        NaiveElement(binary.op, left_scalar ? lhs[0] : p,
                     right_scalar ? rhs[0] : p, &made, &holds));
    if (!valid) continue;
    made.labels = p.labels;
    if (binary.return_bool) {
      made.value = holds ? 1 : 0;
    } else if (IsComparison(binary.op)) {
      if (!holds) continue;
      made = p;
    }
    if (binary.return_bool || !IsComparison(binary.op)) {
      made.labels = NaiveWithoutName(p.labels);
    }
    out.push_back(std::move(made));
  }
  VARVE_RETURN_IF_ERROR(CheckUnique(out));
  return out;
}

absl::StatusOr<NaiveVector> NaiveEvaluator::At(const Expr& expr,
                                               int64_t t) const {
  switch (expr.kind) {
    case ExprKind::kParen:
      return At(*As<ParenExpr>(expr).expr, t);
    case ExprKind::kNumber:
      return OneNumber(As<NumberLiteral>(expr).value);
    case ExprKind::kVectorSelector:
      return Selector(As<VectorSelector>(expr), t, false);
    case ExprKind::kCall:
      return Function(As<Call>(expr), t);
    case ExprKind::kAggregate:
      return Aggregate(As<AggregateExpr>(expr), t);
    case ExprKind::kBinary:
      return Binary(As<BinaryExpr>(expr), t);
    case ExprKind::kUnary: {
      const auto& unary = As<UnaryExpr>(expr);
      VARVE_ASSIGN_OR_RETURN(NaiveVector points, At(*unary.expr, t));
      for (NaivePoint& p : points) {
        if (!unary.negative) continue;
        p.labels = NaiveWithoutName(p.labels);
        p.value = -p.value;
        if (p.histogram != nullptr) {
          p.histogram =
              std::make_shared<const NaiveHistogram>(p.histogram->Scaled(-1));
        }
      }
      VARVE_RETURN_IF_ERROR(CheckUnique(points));
      return points;
    }
    default:
      return absl::UnimplementedError("a value of this type");
  }
}

}  // namespace varve::promql
