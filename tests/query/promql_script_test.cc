#include "tests/support/promql_script.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace varve::promql {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

EngineOptions TestOptions() {
  EngineOptions options;
  options.delayed_name_removal = true;
  options.use_start_timestamps = true;
  options.subquery_step_ms = 60'000;
  return options;
}

std::vector<std::filesystem::path> Scripts(const std::string& folder) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".test") out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(PromqlScript, OwnScriptsPass) {
  size_t cases = 0;
  for (const auto& path : Scripts(VARVE_SOURCE_DIR "/tests/promql")) {
    const ParsedScript script = ParseScript(ReadFile(path));
    ASSERT_EQ(script.error, "") << path;
    for (const ScriptCase& c : RunScript(script.commands, TestOptions())) {
      EXPECT_EQ(c.problem, "")
          << path.filename().string() << ":" << c.line << ": " << c.expr;
      ++cases;
    }
  }
  EXPECT_GT(cases, 100u);
}

TEST(PromqlScript, SeesWrongAnswers) {
  const std::string load = "load 1m\n  m{a=\"1\"} 1 2 3\n\n";
  for (const char* eval : {
           "eval instant at 1m m\n  m{a=\"1\"} 3\n",
           "eval instant at 1m m\n  m{a=\"2\"} 2\n",
           "eval instant at 1m m\n",
           "eval instant at 1m m\n  m{a=\"1\"} 2\n  m{a=\"3\"} 2\n",
           "eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 1 2\n",
           "eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 1 _ 3\n",
           "eval instant at 1m m\n  expect fail\n",
           "eval instant at 1m m\n  expect warn\n  m{a=\"1\"} 2\n",
           "eval instant at 1m m +\n  m{a=\"1\"} 2\n",
           "eval instant at 1m 1\n  2\n",
       }) {
    const ParsedScript script = ParseScript(load + eval);
    ASSERT_EQ(script.error, "") << eval;
    const auto cases = RunScript(script.commands, TestOptions());
    ASSERT_EQ(cases.size(), 1u);
    EXPECT_NE(cases[0].problem, "") << eval;
  }
}

TEST(PromqlScript, RefusesMalformedScripts) {
  for (const char* text :
       {"lood 1m\n", "load 1m\n  m{a=\"1 1\n", "load 1q\n  m 1\n",
        "eval instant 1m m\n", "load 1m\n  m one\n"}) {
    EXPECT_NE(ParseScript(text).error, "") << text;
  }
}

#ifdef VARVE_CONFORMANCE_DIR
/// How many cases of each file of the conformance suite pass in process, as a
/// ratchet: raise the number when it grows.
TEST(PromqlScript, ConformanceRatchet) {
  const std::map<std::string, size_t> at_least = {
#include "tests/promql/conformance_ratchet.inc"
  };
  for (const auto& path : Scripts(VARVE_CONFORMANCE_DIR)) {
    const ParsedScript script = ParseScript(ReadFile(path));
    const std::string name = path.stem().string();
    const auto want = at_least.find(name);
    if (want == at_least.end()) continue;
    ASSERT_EQ(script.error, "") << path;
    size_t passed = 0;
    std::string failures;
    for (const ScriptCase& c : RunScript(script.commands, TestOptions())) {
      if (c.problem.empty()) {
        ++passed;
      } else {
        failures += fmt::format("  {}: {}: {}\n", c.line, c.expr, c.problem);
      }
    }
    RecordProperty(name, static_cast<int>(passed));
    EXPECT_GE(passed, want->second) << name << "\n" << failures;
  }
}
#endif

}  // namespace
}  // namespace varve::promql
