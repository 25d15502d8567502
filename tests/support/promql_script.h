#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "query/engine.h"
#include "query/value.h"
#include "tests/support/map_source.h"

namespace varve::promql {

// Runs `load` / `eval` scripts (the language of Prometheus's own PromQL tests)
// in process, on a MapSource.
//
//   clear
//   load 1m
//     m{a="b"} 1 2+1x3 _ stale {{schema:0 count:3 sum:5 buckets:[1 2]}}
//     m{a="b"}@st -30s-1mx3          start timestamps of the line below
//   eval instant at 2m sum(m)
//     {} 5
//   eval range from 0 to 2m step 1m m
//     expect warn msg: ...           also fail, info, no_warn, no_info, ordered
//     m{a="b"} 1 2 3
//
// A command ends at an empty line. Lines that begin with # are comments.

/// A value that an eval expects or a load adds.
struct ScriptValue {
  enum class Kind : uint8_t { kAbsent, kFloat, kHistogram };
  Kind kind = Kind::kAbsent;
  double value = 0;
  FloatHistogram histogram;
};

struct ScriptSeries {
  Labels labels;
  std::vector<ScriptValue> values;
};

struct ScriptExpectation {
  std::string what;  ///< fail, warn, info
  bool regex = false;
  std::string text;
};

struct ScriptCommand {
  enum class Kind : uint8_t { kClear, kLoad, kEval };
  Kind kind = Kind::kClear;
  int line = 0;
  std::vector<ScriptSeries> series;
  // load
  int64_t gap_ms = 0;
  /// By series: start timestamps relative to each sample.
  std::map<size_t, std::vector<std::optional<int64_t>>> starts;
  // eval
  std::string expr;
  QueryParameters parameters;
  bool fail = false;
  bool ordered = false;
  bool range_vector = false;
  bool warn = false;
  bool no_warn = false;
  bool info = false;
  bool no_info = false;
  std::optional<double> scalar;
  std::optional<std::string> string;
  std::vector<ScriptExpectation> messages;
};

/// The commands of a script, or a text that says which line is wrong.
struct ParsedScript {
  std::vector<ScriptCommand> commands;
  std::string error;
};
ParsedScript ParseScript(std::string_view text);

/// One eval and what is wrong with its answer ("" if nothing).
struct ScriptCase {
  int line = 0;
  std::string expr;
  std::string problem;
};

/// Runs the commands in order. Instant queries are also asked as the middle
/// step of a range query, which must agree.
std::vector<ScriptCase> RunScript(const std::vector<ScriptCommand>& commands,
                                  const EngineOptions& options);

}  // namespace varve::promql
