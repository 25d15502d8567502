#include "tests/support/promql_script.h"

#include <fmt/format.h>

#include <cmath>
#include <regex>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

bool Almost(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;
  if (std::isinf(a) || std::isinf(b)) return false;
  const double total = std::abs(a) + std::abs(b);
  return std::abs(a - b) / total < 1e-6;
}

/// Bucket index -> count of the buckets that are not empty.
std::map<int32_t, double> Buckets(const std::vector<HistogramSpan>& spans,
                                  const std::vector<double>& counts) {
  std::map<int32_t, double> out;
  int32_t index = 0;
  size_t i = 0;
  for (const HistogramSpan& span : spans) {
    index += span.offset;
    for (uint32_t k = 0; k < span.length; ++k, ++index) {
      if (counts.at(i) != 0) out[index] = counts[i];
      ++i;
    }
  }
  return out;
}

bool Same(const std::map<int32_t, double>& a,
          const std::map<int32_t, double>& b) {
  if (a.size() != b.size()) return false;
  for (auto x = a.begin(), y = b.begin(); x != a.end(); ++x, ++y) {
    if (x->first != y->first || !Almost(x->second, y->second)) return false;
  }
  return true;
}

bool Same(const FloatHistogram& a, const FloatHistogram& b) {
  return a.schema == b.schema && Almost(a.count, b.count) &&
         Almost(a.sum, b.sum) && Almost(a.zero_count, b.zero_count) &&
         (a.zero_count == 0 || Almost(a.zero_threshold, b.zero_threshold)) &&
         a.custom_values == b.custom_values &&
         Same(Buckets(a.positive_spans, a.positive_buckets),
              Buckets(b.positive_spans, b.positive_buckets)) &&
         Same(Buckets(a.negative_spans, a.negative_buckets),
              Buckets(b.negative_spans, b.negative_buckets));
}

std::string Show(const FloatHistogram& h) {
  std::string out = fmt::format("{{schema:{} count:{} sum:{} zero:{}", h.schema,
                                h.count, h.sum, h.zero_count);
  for (auto [i, c] : Buckets(h.positive_spans, h.positive_buckets)) {
    out += fmt::format(" {}:{}", i, c);
  }
  for (auto [i, c] : Buckets(h.negative_spans, h.negative_buckets)) {
    out += fmt::format(" -{}:{}", i, c);
  }
  return out + "}";
}

/// What a result series has at a time, as a ScriptValue.
ScriptValue ValueAt(const ResultSeries& series, int64_t t) {
  for (const ResultPoint& p : series.floats) {
    if (p.timestamp_ms == t) return {ScriptValue::Kind::kFloat, p.value, {}};
  }
  for (const ResultHistogram& h : series.histograms) {
    if (h.timestamp_ms == t) {
      return {ScriptValue::Kind::kHistogram, 0, *h.histogram};
    }
  }
  return {};
}

std::string Show(const ScriptValue& v) {
  if (v.kind == ScriptValue::Kind::kAbsent) return "nothing";
  if (v.kind == ScriptValue::Kind::kFloat) return fmt::format("{}", v.value);
  return Show(v.histogram);
}

std::string Difference(const ScriptValue& want, const ScriptValue& got) {
  bool same = want.kind == got.kind;
  if (same && want.kind == ScriptValue::Kind::kFloat) {
    same = Almost(want.value, got.value);
  }
  if (same && want.kind == ScriptValue::Kind::kHistogram) {
    same = Same(want.histogram, got.histogram);
  }
  if (same) return "";
  return fmt::format("expected {}, got {}", Show(want), Show(got));
}

/// Compares the steps [start, start + step, ...] of all series.
std::string CompareSeries(const ScriptCommand& eval, const QueryResult& result,
                          int64_t start_ms, int64_t step_ms) {
  std::map<std::string, const ResultSeries*> got;
  for (const ResultSeries& s : result.series) {
    if (!got.emplace(s.labels.packed(), &s).second) {
      return "series twice in the result: " + s.labels.ToString();
    }
  }
  for (size_t n = 0; n < eval.series.size(); ++n) {
    const ScriptSeries& want = eval.series[n];
    const auto it = got.find(std::string(want.labels.packed()));
    if (it == got.end()) return "missing series " + want.labels.ToString();
    if (eval.ordered && it->second != &result.series[n]) {
      return want.labels.ToString() + " stands at another position";
    }
    size_t points = 0;
    for (size_t i = 0; i < want.values.size(); ++i) {
      const int64_t t = start_ms + static_cast<int64_t>(i) * step_ms;
      const std::string d = Difference(want.values[i], ValueAt(*it->second, t));
      if (!d.empty()) {
        return fmt::format("{} at {} ms: {}", want.labels.ToString(), t, d);
      }
      points += want.values[i].kind != ScriptValue::Kind::kAbsent ? 1 : 0;
    }
    if (points != it->second->floats.size() + it->second->histograms.size()) {
      return "more points than expected of " + want.labels.ToString();
    }
    got.erase(it);
  }
  if (!got.empty()) {
    return "unexpected series " + got.begin()->second->labels.ToString();
  }
  return "";
}

bool TextMatches(const ScriptExpectation& want, const std::string& got) {
  static const std::regex kPosition(" \\(\\d+:\\d+\\)$");
  const std::string bare = std::regex_replace(got, kPosition, "");
  if (!want.regex) return want.text == got || want.text == bare;
  return std::regex_search(got, std::regex(want.text));
}

std::string CheckAnnotations(const ScriptCommand& eval,
                             const QueryResult& result) {
  struct Side {
    std::string what;
    bool want, forbid;
    const std::vector<std::string>& got;
  };
  for (const Side& side :
       {Side{"warn", eval.warn, eval.no_warn, result.warnings},
        Side{"info", eval.info, eval.no_info, result.infos}}) {
    if (side.want && side.got.empty()) return "expected: " + side.what;
    if (side.forbid && !side.got.empty()) return "unexpected " + side.got[0];
    for (const ScriptExpectation& m : eval.messages) {
      if (m.what != side.what) continue;
      bool found = false;
      for (const std::string& text : side.got) {
        found = found || TextMatches(m, text);
      }
      if (!found) {
        return fmt::format("no {} is \"{}\" but there is \"{}\"", m.what,
                           m.text, side.got.empty() ? "" : side.got[0]);
      }
    }
  }
  return "";
}

std::string CheckFailure(const ScriptCommand& eval,
                         const absl::Status& status) {
  if (status.ok()) return "expected the query to fail";
  for (const ScriptExpectation& m : eval.messages) {
    if (m.what == "fail" && !TextMatches(m, std::string(Message(status)))) {
      return fmt::format("expected the error \"{}\", got \"{}\"", m.text,
                         Message(status));
    }
  }
  return "";
}

std::string CheckResult(const ScriptCommand& eval, const QueryResult& result) {
  if (std::string p = CheckAnnotations(eval, result); !p.empty()) return p;
  if (eval.string.has_value()) {
    return result.type == ValueType::kString && result.string == *eval.string
               ? ""
               : "another string";
  }
  if (eval.scalar.has_value()) {
    if (result.type != ValueType::kScalar) return "not a scalar";
    if (Almost(*eval.scalar, result.scalar.value)) return "";
    return fmt::format("expected {}, got {}", *eval.scalar,
                       result.scalar.value);
  }
  return CompareSeries(eval, result, eval.parameters.start_ms,
                       eval.parameters.step_ms);
}

class Runner {
 public:
  explicit Runner(const EngineOptions& options) : engine_(options) {}

  void Load(const ScriptCommand& load) {
    for (size_t n = 0; n < load.series.size(); ++n) {
      const ScriptSeries& s = load.series[n];
      const auto starts = load.starts.find(n);
      for (size_t i = 0; i < s.values.size(); ++i) {
        const int64_t t = static_cast<int64_t>(i) * load.gap_ms;
        int64_t start = kNoStartTimestamp;
        if (starts != load.starts.end() && i < starts->second.size() &&
            starts->second[i].has_value()) {
          start = t + *starts->second[i];
        }
        const ScriptValue& v = s.values[i];
        if (v.kind == ScriptValue::Kind::kFloat) {
          source_->Add(s.labels, t, v.value, start);
        } else if (v.kind == ScriptValue::Kind::kHistogram) {
          source_->Add(s.labels, t, Histogram(v.histogram), start);
        }
      }
    }
  }
  void Clear() { source_ = std::make_unique<MapSource>(); }

  std::string Eval(const ScriptCommand& eval) {
    QueryParameters parameters = eval.parameters;
    if (eval.range_vector) {
      parameters.start_ms = parameters.end_ms;
      parameters.step_ms = 0;
    }
    const auto result = Ask(eval.expr, parameters);
    if (eval.fail) return CheckFailure(eval, result.status());
    if (!result.ok()) return std::string(Message(result.status()));
    if (std::string p = CheckResult(eval, *result); !p.empty()) return p;
    const bool plain = parameters.step_ms == 0 && !eval.range_vector &&
                       !eval.ordered && !eval.scalar.has_value() &&
                       !eval.string.has_value();
    return plain ? EvalAsRange(eval) : "";
  }

 private:
  absl::StatusOr<QueryResult> Ask(const std::string& expr,
                                  const QueryParameters& parameters) {
    QueryContext context;
    return engine_.Run(context, *source_, expr, parameters);
  }

  /// The middle of three steps must be the instant answer.
  std::string EvalAsRange(const ScriptCommand& eval) {
    for (const char* word : {"start()", "end()", "range()", "step()"}) {
      if (eval.expr.find(word) != std::string::npos) return "";
    }
    const int64_t t = eval.parameters.end_ms;
    auto result = Ask(eval.expr, {t - 60'000, t + 60'000, 60'000, 0});
    if (!result.ok()) {
      return "as a range query: " + std::string(Message(result.status()));
    }
    std::vector<ResultSeries> at;
    for (const ResultSeries& s : result->series) {
      const ScriptValue v = ValueAt(s, t);
      if (v.kind == ScriptValue::Kind::kAbsent) continue;
      ResultSeries one;
      one.labels = s.labels;
      if (v.kind == ScriptValue::Kind::kFloat) {
        one.floats.push_back({t, v.value});
      } else {
        one.histograms.push_back(
            {t, std::make_shared<const FloatHistogram>(v.histogram)});
      }
      at.push_back(std::move(one));
    }
    result->series = std::move(at);
    const std::string p = CompareSeries(eval, *result, t, 0);
    return p.empty() ? "" : "as a range query: " + p;
  }

  const Engine engine_;
  std::unique_ptr<MapSource> source_ = std::make_unique<MapSource>();
};

}  // namespace

std::vector<ScriptCase> RunScript(const std::vector<ScriptCommand>& commands,
                                  const EngineOptions& options) {
  std::vector<ScriptCase> cases;
  Runner runner(options);
  for (const ScriptCommand& command : commands) {
    switch (command.kind) {
      case ScriptCommand::Kind::kClear:
        runner.Clear();
        break;
      case ScriptCommand::Kind::kLoad:
        runner.Load(command);
        break;
      case ScriptCommand::Kind::kEval:
        cases.push_back({command.line, command.expr, runner.Eval(command)});
        break;
    }
  }
  return cases;
}

}  // namespace varve::promql
