#include "tests/support/query_generator.h"

#include <fmt/format.h>

namespace varve::promql {

std::string QueryGenerator::Pick(const std::vector<std::string_view>& choices) {
  return std::string(choices[random_.Below(choices.size())]);
}

std::string QueryGenerator::Next() {
  return random_.OneIn(20) ? Scalar(options_.depth) : Vector(options_.depth);
}

std::string QueryGenerator::Number() {
  return Pick({"0", "1", "2", "-1", "0.5", "0.9", "3", "10", "1e3", "NaN",
               "Inf", "-Inf", "0.1"});
}

std::string QueryGenerator::Duration() {
  return Pick({"1m", "5m", "45s", "2m30s", "10m", "15s", "3m7s"});
}

std::string QueryGenerator::Metric() {
  if (options_.native && random_.OneIn(6)) {
    return Pick({"native", "native_gauge"});
  }
  return Pick({"counter_total", "fast_total", "gauge", "whole", "wild",
               "on_off", "about", "classic_bucket", "classic_count"});
}

std::string QueryGenerator::Matchers() {
  switch (random_.Below(6)) {
    case 0:
      return "{job=\"a\"}";
    case 1:
      return "{inst!=\"0\"}";
    case 2:
      return "{zone=~\"z.*\"}";
    case 3:
      return "{job=~\"a|c\",zone!~\"z0\"}";
    default:
      return "";
  }
}

std::string QueryGenerator::Shift() {
  std::string out;
  if (random_.OneIn(5)) {
    out += Pick({" offset 1m", " offset -1m", " offset 4m30s", " offset 7s"});
  }
  if (random_.OneIn(12)) {
    out +=
        Pick({" @ start()", " @ end()", fmt::format(" @ {}", options_.at_s)});
  }
  return out;
}

std::string QueryGenerator::Selector() {
  if (random_.OneIn(15)) {
    return "{__name__=~\"whole|on_off\"}" + Shift();
  }
  return Metric() + Matchers() + Shift();
}

std::string QueryGenerator::LabelList() {
  return Pick({"job", "job, inst", "zone", "", "inst", "le", "absent_label"});
}

std::string QueryGenerator::Matrix(int depth) {
  if (depth > 1 && random_.OneIn(4)) {
    return fmt::format("({})[{}:{}]{}", Vector(depth - 2),
                       Pick({"2m", "5m", "3m20s"}),
                       Pick({"", "15s", "1m", "17s", "40s"}), Shift());
  }
  const std::string metric = Metric() + Matchers();
  return fmt::format("{}[{}]{}", metric, Duration(), Shift());
}

std::string QueryGenerator::RangeCall(int depth) {
  switch (random_.Below(10)) {
    case 0:
      return fmt::format("quantile_over_time({}, {})", Scalar(0),
                         Matrix(depth));
    case 1:
      return fmt::format("predict_linear({}, {})", Matrix(depth),
                         Pick({"60", "-30", "600", "0"}));
    case 2:
      if (!options_.modern) break;
      return fmt::format("{}({})",
                         Pick({"mad_over_time", "first_over_time",
                               "ts_of_first_over_time", "ts_of_last_over_time",
                               "ts_of_max_over_time", "ts_of_min_over_time"}),
                         Matrix(depth));
    case 3:
      if (!options_.modern) break;
      return fmt::format("double_exponential_smoothing({}, {}, {})",
                         Matrix(depth), Pick({"0.3", "0.5", "0.9"}),
                         Pick({"0.1", "0.5"}));
    case 4:
    case 5:
    case 6:
      return fmt::format(
          "{}({}{}[{}]{})", Pick({"rate", "increase", "irate"}),
          Pick({"counter_total", "fast_total", "counter_total",
                options_.native ? "native" : "gauge", "classic_bucket"}),
          Matchers(), Duration(), Shift());
    default:
      break;
  }
  return fmt::format(
      "{}({})",
      Pick({"rate", "increase", "delta", "irate", "idelta", "deriv", "changes",
            "resets", "avg_over_time", "sum_over_time", "min_over_time",
            "max_over_time", "last_over_time", "count_over_time",
            "stddev_over_time", "stdvar_over_time", "present_over_time",
            "absent_over_time"}),
      Matrix(depth));
}

std::string QueryGenerator::VectorCall(int depth) {
  switch (random_.Below(12)) {
    case 0:
      return fmt::format("clamp({}, {}, {})", Vector(depth - 1), Scalar(0),
                         Scalar(0));
    case 1:
      return fmt::format("{}({}, {})", Pick({"clamp_min", "clamp_max"}),
                         Vector(depth - 1), Scalar(depth - 1));
    case 2:
      return fmt::format("round({}, {})", Vector(depth - 1),
                         Pick({"5", "0.1", "0.5", "2"}));
    case 3:
      return fmt::format("absent({})", Vector(depth - 1));
    case 4:
      return fmt::format("vector({})", Scalar(depth - 1));
    case 5:
      return fmt::format("timestamp({})", Vector(depth - 1));
    case 6:
      return fmt::format("{}({})",
                         Pick({"minute", "hour", "day_of_week", "day_of_month",
                               "days_in_month", "month", "year"}),
                         Vector(depth - 1));
    case 7:
      return fmt::format("{}({})", Pick({"sort", "sort_desc"}),
                         Vector(depth - 1));
    default:
      return fmt::format(
          "{}({})",
          Pick({"abs", "ceil", "floor", "sgn", "sqrt", "exp", "ln", "log2",
                "log10", "sin", "cos", "atan", "tanh", "deg", "rad", "round"}),
          Vector(depth - 1));
  }
}

std::string QueryGenerator::LabelCall(int depth) {
  if (random_.OneIn(3)) {
    return fmt::format("label_join({}, \"joined\", \"-\", \"job\", \"inst\")",
                       Vector(depth - 1));
  }
  return fmt::format(
      "label_replace({}, {})", Vector(depth - 1),
      Pick({"'new', '$1-x', 'job', '(.*)'", "'job', '', 'job', 'a'",
            "'inst', 'same', 'inst', '.*'", "'zone', '$1', 'zone', 'z(.)'",
            "'n', '${x}y', 'inst', '(?P<x>[01])'"}));
}

std::string QueryGenerator::HistogramCall(int depth) {
  if (options_.native && random_.OneIn(2)) {
    const std::string metric = Pick({"native", "native_gauge"}) + Matchers();
    const std::string of = random_.OneIn(2)
                               ? fmt::format("rate({}[{}])", metric, Duration())
                               : metric;
    switch (random_.Below(5)) {
      case 0:
        return fmt::format("histogram_quantile({}, {})", Scalar(0), of);
      case 1:
        return fmt::format("histogram_avg({})", of);
      case 2:
        return fmt::format("histogram_sum(sum by ({}) ({}))", LabelList(), of);
      case 3:
        return fmt::format("histogram_count(avg({}))", of);
      default:
        return fmt::format("{}({})", Pick({"sum", "avg", "count", "group"}),
                           of);
    }
  }
  const std::string buckets =
      random_.OneIn(3)
          ? "classic_bucket" + Matchers()
          : fmt::format("rate(classic_bucket{}[{}])", Matchers(), Duration());
  if (random_.OneIn(3)) {
    return fmt::format("histogram_quantile({}, sum by (le) ({}))", Scalar(0),
                       buckets);
  }
  return fmt::format("histogram_quantile({}, {})", Scalar(depth > 1 ? 1 : 0),
                     buckets);
}

std::string QueryGenerator::Aggregation(int depth) {
  std::string grouping;
  if (!random_.OneIn(4)) {
    grouping = fmt::format(" {} ({})", Pick({"by", "without"}), LabelList());
  }
  const std::string of = Vector(depth - 1);
  switch (random_.Below(8)) {
    case 0:
      return fmt::format("quantile{} ({}, {})", grouping, Scalar(0), of);
    case 1:
      return fmt::format("count_values{} (\"v\", {})", grouping, of);
    case 2:
      if (!options_.ordered) break;
      return fmt::format("{}{} ({}, {})", Pick({"topk", "bottomk"}), grouping,
                         Pick({"1", "2", "0", "5"}), of);
    case 3:
      if (!options_.ordered || !options_.modern) break;
      return fmt::format("limitk{} ({}, {})", grouping, Pick({"1", "3"}), of);
    default:
      break;
  }
  return fmt::format("{}{} ({})",
                     Pick({"sum", "avg", "count", "min", "max", "group",
                           "stddev", "stdvar", "sum", "avg"}),
                     grouping, of);
}

std::string QueryGenerator::MatchedBinary(int depth) {
  const std::string op =
      Pick({"+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">",
            "<=", "> bool", "== bool", "<", ">="});
  switch (random_.Below(6)) {
    case 0: {
      const std::string fill =
          options_.modern && random_.OneIn(2)
              ? Pick({" fill(0)", " fill_left(1)", " fill_right(2)"})
              : "";
      return fmt::format("{} {} on (job, inst){} {}", Selector(), op, fill,
                         Selector());
    }
    case 1:
      return fmt::format("{} {} on (job) group_left ({}) about", Selector(), op,
                         Pick({"", "version"}));
    case 2:
      return fmt::format("about {} on (job) group_right ({}) {}", op,
                         Pick({"", "version"}), Selector());
    case 3:
      return fmt::format("sum by (job) ({}) {} avg by (job) ({})",
                         Vector(depth - 1), op, Vector(depth - 1));
    case 4:
      return fmt::format("{} {} ignoring ({}) {}", Vector(depth - 1), op,
                         LabelList(), Vector(depth - 1));
    default:
      return fmt::format("({}) {} ({})", Vector(depth - 1), op,
                         Vector(depth - 1));
  }
}

std::string QueryGenerator::Binary(int depth) {
  switch (random_.Below(6)) {
    case 0:
      return fmt::format("({}) {} {} ({})", Vector(depth - 1),
                         Pick({"and", "or", "unless"}),
                         Pick({"", "on (job)", "ignoring (inst)", "on ()"}),
                         Vector(depth - 1));
    case 1:
      return fmt::format(
          "({}) {} ({})", Vector(depth - 1),
          Pick({"+", "-", "*", "/", "%", "^", ">", "==", "<", ">= bool", "!="}),
          Scalar(depth - 1));
    case 2:
      return fmt::format(
          "({}) {} ({})", Scalar(depth - 1),
          Pick({"+", "-", "*", "/", "%", "^", ">", "==", "<", ">= bool", "!="}),
          Vector(depth - 1));
    default:
      return MatchedBinary(depth);
  }
}

std::string QueryGenerator::Vector(int depth) {
  if (depth <= 0) return Selector();
  switch (random_.Below(12)) {
    case 0:
      return Selector();
    case 1:
    case 2:
      return Aggregation(depth);
    case 3:
    case 4:
      return Binary(depth);
    case 5:
    case 6:
      return VectorCall(depth);
    case 7:
      return HistogramCall(depth);
    case 8:
      return random_.OneIn(2) ? LabelCall(depth)
                              : fmt::format("-({})", Vector(depth - 1));
    default:
      return RangeCall(depth);
  }
}

std::string QueryGenerator::Scalar(int depth) {
  if (depth <= 0) return Number();
  switch (random_.Below(5)) {
    case 0:
      return fmt::format("scalar({})", Vector(depth - 1));
    case 1:
      return fmt::format("({} {} {})", Scalar(depth - 1),
                         Pick({"+", "-", "*", "/", "%", "^", "> bool"}),
                         Scalar(depth - 1));
    case 2:
      return "(time() % 7)";
    case 3:
      return "pi()";
    default:
      return Number();
  }
}

}  // namespace varve::promql
