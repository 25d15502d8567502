#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "query/histogram_arithmetic.h"
#include "query/parser.h"
#include "storage/sample.h"
#include "tests/support/promql_script.h"

namespace varve::promql {
namespace {

/// Thrown on a malformed script; caught in ParseScript.
struct Malformed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string Trim(std::string_view s) {
  const size_t begin = s.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(s.substr(begin, s.find_last_not_of(" \t\r") - begin + 1));
}

int64_t Duration(std::string_view text) {
  std::string s = Trim(text);
  bool negative = false;
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) {
    negative = s[0] == '-';
    s = s.substr(1);
  }
  if (s == "0") return 0;
  const auto ms = ParseDuration(s);
  if (!ms.ok()) throw Malformed("bad duration " + s);
  return negative ? -*ms : *ms;
}

/// Reads a number at the front of `s` and takes it off; false if none is there.
bool TakeNumber(std::string_view* s, double* out) {
  // An x begins a repetition; strtod would take it for a hexadecimal number.
  const std::string text(s->substr(0, s->find('x')));
  char* end = nullptr;
  *out = std::strtod(text.c_str(), &end);
  const auto used = static_cast<size_t>(end - text.c_str());
  if (used == 0) return false;
  if (std::isnan(*out)) *out = std::bit_cast<double>(kNormalNanBits);
  s->remove_prefix(used);
  return true;
}

bool IsNumber(std::string_view s, double* out) {
  return TakeNumber(&s, out) && s.empty();
}

/// `x7` at the front: the number; 0 if there is none.
size_t TakeRepeat(std::string_view* s) {
  if (s->empty() || s->front() != 'x') return 0;
  s->remove_prefix(1);
  double n = 0;
  if (!TakeNumber(s, &n)) throw Malformed("bad repetition");
  return static_cast<size_t>(n);
}

std::string Unquote(std::string_view* s) {
  const char quote = s->front();
  std::string out;
  size_t i = 1;
  for (; i < s->size() && (*s)[i] != quote; ++i) {
    char c = (*s)[i];
    if (c == '\\' && quote != '`') {
      c = (*s)[++i];
      if (c == 'n') c = '\n';
      if (c == 't') c = '\t';
    }
    out.push_back(c);
  }
  if (i >= s->size()) throw Malformed("unclosed string");
  s->remove_prefix(i + 1);
  return out;
}

bool IsNameChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         c == ':' || c == '.';
}

std::string TakeName(std::string_view* s) {
  size_t n = 0;
  while (n < s->size() && IsNameChar((*s)[n])) ++n;
  std::string name(s->substr(0, n));
  s->remove_prefix(n);
  return name;
}

/// `name{a="b"}` at the front of a line.
Labels TakeMetric(std::string_view* s) {
  LabelsBuilder labels;
  labels.Set(kMetricName, TakeName(s));
  if (s->empty() || s->front() != '{' || s->starts_with("{{")) {
    return labels.Build();
  }
  s->remove_prefix(1);
  while (true) {
    while (!s->empty() && (s->front() == ' ' || s->front() == ',')) {
      s->remove_prefix(1);
    }
    if (s->empty()) throw Malformed("unclosed label set");
    if (s->front() == '}') break;
    const bool quoted = s->front() == '"' || s->front() == '\'';
    const std::string name = quoted ? Unquote(s) : TakeName(s);
    while (!s->empty() && s->front() == ' ') s->remove_prefix(1);
    if (s->empty() || s->front() != '=') {
      if (!quoted) throw Malformed("bad label set");
      labels.Set(kMetricName, name);
      continue;
    }
    s->remove_prefix(1);
    while (!s->empty() && s->front() == ' ') s->remove_prefix(1);
    if (s->empty()) throw Malformed("bad label set");
    labels.Set(name, Unquote(s));
  }
  s->remove_prefix(1);
  return labels.Build();
}

/// Words at blanks outside {{ }}.
std::vector<std::string> Words(std::string_view s) {
  std::vector<std::string> out;
  std::string word;
  int depth = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s.substr(i, 2) == "{{") ++depth;
    if (i > 0 && s.substr(i - 1, 2) == "}}") --depth;
    if (depth == 0 && (s[i] == ' ' || s[i] == '\t')) {
      if (!word.empty()) out.push_back(std::move(word));
      word.clear();
    } else {
      word.push_back(s[i]);
    }
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

std::vector<double> List(std::string_view text) {
  std::vector<double> out;
  for (const std::string& word : Words(text)) {
    double v = 0;
    if (!IsNumber(word, &v)) throw Malformed("bad number " + word);
    out.push_back(v);
  }
  return out;
}

ResetHint HintOf(std::string_view name) {
  if (name == "reset") return ResetHint::kReset;
  if (name == "not_reset") return ResetHint::kNotReset;
  if (name == "gauge") return ResetHint::kGauge;
  return ResetHint::kUnknown;
}

/// The inside of {{ }}.
FloatHistogram ParseHistogram(std::string_view s) {
  FloatHistogram h;
  int32_t offset = 0;
  int32_t negative_offset = 0;
  while (true) {
    while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
    if (s.empty()) break;
    const size_t colon = s.find(':');
    if (colon == std::string_view::npos) throw Malformed("bad histogram");
    const std::string key(s.substr(0, colon));
    s.remove_prefix(colon + 1);
    const bool list = !s.empty() && s.front() == '[';
    const size_t end = list ? s.find(']') : std::min(s.find(' '), s.size());
    if (end == std::string_view::npos) throw Malformed("bad histogram");
    const std::string value(list ? s.substr(1, end - 1) : s.substr(0, end));
    s.remove_prefix(list ? end + 1 : end);
    if (key == "counter_reset_hint") h.reset_hint = HintOf(value);
    if (key == "counter_reset_hint") continue;
    const std::vector<double> v = List(value);
    const double first = v.empty() ? 0 : v[0];
    if (key == "schema") h.schema = static_cast<int32_t>(first);
    if (key == "sum") h.sum = first;
    if (key == "count") h.count = first;
    if (key == "z_bucket") h.zero_count = first;
    if (key == "z_bucket_w") h.zero_threshold = first;
    if (key == "custom_values") h.custom_values = v;
    if (key == "buckets") h.positive_buckets = v;
    if (key == "n_buckets") h.negative_buckets = v;
    if (key == "offset") offset = static_cast<int32_t>(first);
    if (key == "n_offset") negative_offset = static_cast<int32_t>(first);
  }
  const auto span = [](int32_t at, const std::vector<double>& buckets) {
    std::vector<HistogramSpan> spans;
    if (!buckets.empty()) {
      spans.push_back({at, static_cast<uint32_t>(buckets.size())});
    }
    return spans;
  };
  h.positive_spans = span(offset, h.positive_buckets);
  h.negative_spans = span(negative_offset, h.negative_buckets);
  return h;
}

/// For `{{..}}+{{..}}x3`. The hint stays what the script says.
void AddTo(FloatHistogram* h, const FloatHistogram& other, double sign) {
  HistogramSum sum(*h);
  if (sum.Add(other, sign).incompatible) {
    throw Malformed("custom and exponential buckets cannot be added");
  }
  const ResetHint hint = h->reset_hint;
  *h = sum.Result();
  h->reset_hint = hint;
}

std::string TakeBraces(std::string_view* s) {
  const size_t end = s->find("}}");
  if (!s->starts_with("{{") || end == std::string_view::npos) {
    throw Malformed("bad histogram");
  }
  std::string inside(s->substr(2, end - 2));
  s->remove_prefix(end + 2);
  return inside;
}

void AppendHistograms(std::string_view word, std::vector<ScriptValue>* out) {
  ScriptValue v;
  v.kind = ScriptValue::Kind::kHistogram;
  v.histogram = ParseHistogram(TakeBraces(&word));
  std::optional<FloatHistogram> step;
  double sign = 1;
  if (word.starts_with("+") || word.starts_with("-")) {
    sign = word.front() == '-' ? -1 : 1;
    word.remove_prefix(1);
    step = ParseHistogram(TakeBraces(&word));
  }
  const size_t repeat = TakeRepeat(&word);
  for (size_t i = 0; i <= repeat; ++i) {
    out->push_back(v);
    if (step.has_value()) AddTo(&v.histogram, *step, sign);
  }
}

void AppendFloats(std::string_view word, std::vector<ScriptValue>* out) {
  ScriptValue v;
  v.kind = ScriptValue::Kind::kFloat;
  double step = 0;
  if (word.starts_with("stale")) {
    word.remove_prefix(5);
    v.value = StaleNan();
    const size_t repeat = TakeRepeat(&word);
    out->insert(out->end(), repeat + 1, v);
    return;
  }
  if (!TakeNumber(&word, &v.value)) {
    throw Malformed("bad value " + std::string(word));
  }
  const bool steps = !word.empty() && word.front() != 'x';
  if (steps && !TakeNumber(&word, &step)) throw Malformed("bad value");
  const size_t repeat = TakeRepeat(&word);
  if (!word.empty()) throw Malformed("bad value");
  for (size_t i = 0; i <= repeat; ++i) {
    out->push_back(v);
    if (steps) v.value += step;
  }
}

std::vector<ScriptValue> Values(std::string_view text) {
  std::vector<ScriptValue> out;
  for (const std::string& word : Words(text)) {
    std::string_view s = word;
    if (s.front() == '_') {
      s.remove_prefix(1);
      out.resize(out.size() + std::max<size_t>(1, TakeRepeat(&s)));
    } else if (s.starts_with("{{")) {
      AppendHistograms(s, &out);
    } else {
      AppendFloats(s, &out);
    }
  }
  return out;
}

std::vector<std::optional<int64_t>> StartOffsets(std::string_view text) {
  std::vector<std::optional<int64_t>> out;
  for (const std::string& word : Words(text)) {
    std::string_view s = word;
    if (s.front() == '_') {
      s.remove_prefix(1);
      out.resize(out.size() + std::max<size_t>(1, TakeRepeat(&s)));
      continue;
    }
    const size_t x = s.find('x');
    const size_t sign = s.find_first_of("+-", 1);
    const std::string_view first = s.substr(0, std::min(sign, x));
    int64_t v = Duration(first);
    int64_t step = 0;
    if (sign != std::string_view::npos) {
      step = Duration(s.substr(sign, x == std::string_view::npos
                                         ? std::string_view::npos
                                         : x - sign));
    }
    size_t repeat = 0;
    if (x != std::string_view::npos) {
      std::string_view tail = s.substr(x);
      repeat = TakeRepeat(&tail);
    }
    for (size_t i = 0; i <= repeat; ++i, v += step) out.emplace_back(v);
  }
  return out;
}

ScriptCommand ParseLoad(const std::vector<std::string>& lines) {
  ScriptCommand load;
  load.kind = ScriptCommand::Kind::kLoad;
  load.gap_ms = Duration(Words(lines[0]).at(1));
  for (size_t i = 1; i < lines.size(); ++i) {
    std::string_view s = lines[i];
    const Labels labels = TakeMetric(&s);
    if (s.starts_with("@st")) {
      s.remove_prefix(3);
      load.starts[load.series.size()] = StartOffsets(s);
    } else {
      load.series.push_back({labels, Values(s)});
    }
  }
  return load;
}

void ParseExpectation(std::string_view s, ScriptCommand* eval) {
  s.remove_prefix(std::string_view("expect ").size());
  const size_t space = s.find(' ');
  const std::string what(s.substr(0, space));
  if (what == "string") {
    s.remove_prefix(space + 1);
    eval->string = Unquote(&s);
  } else if (s.starts_with("range vector")) {
    const std::vector<std::string> w = Words(s);
    eval->range_vector = true;
    eval->parameters.start_ms = Duration(w.at(3));
    eval->parameters.step_ms = Duration(w.at(7));
  } else if (what == "fail") {
    eval->fail = true;
  } else if (what == "ordered") {
    eval->ordered = true;
  } else if (what == "warn" || what == "info") {
    (what == "warn" ? eval->warn : eval->info) = true;
  } else if (what == "no_warn" || what == "no_info") {
    (what == "no_warn" ? eval->no_warn : eval->no_info) = true;
  } else {
    throw Malformed("unknown expectation");
  }
  const size_t msg = s.find("msg:");
  const size_t regex = s.find("regex:");
  if (msg != std::string_view::npos && msg < regex) {
    eval->messages.push_back({what, false, Trim(s.substr(msg + 4))});
  } else if (regex != std::string_view::npos) {
    eval->messages.push_back({what, true, Trim(s.substr(regex + 6))});
  }
}

/// `instant at 5m <expr>` or `range from a to b step c <expr>`.
void ParseEvalHeader(std::string_view header, ScriptCommand* eval) {
  const auto next = [&header] {
    while (!header.empty() && std::isspace(uint8_t(header.front())) != 0) {
      header.remove_prefix(1);
    }
    const size_t end = std::min(header.find_first_of(" \t"), header.size());
    std::string word(header.substr(0, end));
    header.remove_prefix(end);
    return word;
  };
  next();  // eval
  QueryParameters& p = eval->parameters;
  if (next() == "instant") {
    if (next() != "at") throw Malformed("expected: at");
    p.start_ms = p.end_ms = Duration(next());
  } else {
    next();  // from
    p.start_ms = Duration(next());
    next();  // to
    p.end_ms = Duration(next());
    next();  // step
    p.step_ms = Duration(next());
  }
  eval->expr = Trim(header);
}

ScriptCommand ParseEval(const std::vector<std::string>& lines) {
  ScriptCommand eval;
  eval.kind = ScriptCommand::Kind::kEval;
  ParseEvalHeader(lines[0], &eval);
  for (size_t i = 1; i < lines.size(); ++i) {
    double scalar = 0;
    if (lines[i].starts_with("expect ")) {
      ParseExpectation(lines[i], &eval);
    } else if (IsNumber(lines[i], &scalar)) {
      eval.scalar = scalar;
    } else {
      std::string_view s = lines[i];
      Labels labels = TakeMetric(&s);
      eval.series.push_back({std::move(labels), Values(s)});
    }
  }
  return eval;
}

}  // namespace

ParsedScript ParseScript(std::string_view text) {
  ParsedScript out;
  std::vector<std::string> block;
  int line = 0;
  int first = 0;
  const auto finish = [&] {
    if (block.empty()) return;
    ScriptCommand command;
    if (block[0].starts_with("load")) {
      command = ParseLoad(block);
    } else if (block[0].starts_with("eval")) {
      command = ParseEval(block);
    } else if (block[0] != "clear") {
      throw Malformed("unknown command " + block[0]);
    }
    command.line = first;
    out.commands.push_back(std::move(command));
    block.clear();
  };
  try {
    while (!text.empty()) {
      ++line;
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string content = Trim(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      const bool comment = !content.empty() && content[0] == '#';
      double scalar = 0;
      // A scalar expectation and the word clear need no empty line after them.
      if (content.empty() || comment ||
          (block.size() == 1 && block[0] == "clear")) {
        finish();
      }
      if (content.empty() || comment) continue;
      if (block.empty()) first = line;
      block.push_back(content);
      if (block.size() > 1 && IsNumber(content, &scalar)) finish();
    }
    finish();
  } catch (const std::exception& e) {
    out.error = fmt::format("line {}: {}", line, e.what());
  }
  return out;
}

}  // namespace varve::promql
