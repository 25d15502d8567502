#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/relabel.h"
#include "storage/check.h"
#include "storage/matcher.h"
#include "storage/status_macros.h"

// Lines of the input: action, regex, replacement, target label, separator, then
// label values. A rule is refused with a text or applies to any labels; and a
// matcher's shortcuts (literals, prefix) agree with what the regex matches.

namespace {

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> out;
  while (out.size() < 12) {
    const size_t end = text.find('\n');
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  out.resize(12);
  return out;
}

void CheckRule(const std::vector<std::string>& lines) {
  varve::RelabelConfig config;
  if (!varve::ParseRelabelAction(lines[0], &config.action)) return;
  config.regex = lines[1];
  config.replacement = lines[2];
  config.target_label = lines[3];
  config.separator = lines[4];
  config.modulus = 10;
  config.source_labels = {"a", "b"};
  const auto rules = varve::RelabelRules::Create({config});
  if (!rules.ok()) {
    VARVE_CHECK(!varve::Message(rules.status()).empty());
    return;
  }
  varve::LabelsBuilder labels;
  for (size_t i = 5; i < lines.size(); ++i) {
    labels.Set(std::string(1, static_cast<char>('a' + i - 5)), lines[i]);
  }
  (void)rules->Apply(&labels);
  (void)labels.Build();
}

void CheckMatcher(const std::vector<std::string>& lines) {
  const auto positive =
      varve::Matcher::Create(varve::MatchType::kRegex, "a", lines[1]);
  const auto negative =
      varve::Matcher::Create(varve::MatchType::kNotRegex, "a", lines[1]);
  VARVE_CHECK(positive.ok() == negative.ok());
  if (!positive.ok()) return;
  VARVE_CHECK(positive->MatchesEmpty() == positive->Matches(""));
  for (const std::string& value : lines) {
    const bool matches = positive->Matches(value);
    VARVE_CHECK(matches != negative->Matches(value));
    const auto prefixes = positive->prefixes();
    VARVE_CHECK(!matches || prefixes.empty() ||
                std::any_of(prefixes.begin(), prefixes.end(),
                            [&](const std::string& prefix) {
                              return value.starts_with(prefix);
                            }));
  }
  for (const std::string& literal : positive->literals()) {
    VARVE_CHECK(positive->Matches(literal));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  const std::vector<std::string> lines =
      Lines({reinterpret_cast<const char*>(data), size});
  CheckRule(lines);
  CheckMatcher(lines);
  return 0;
}
