#include "storage/matcher.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

#include <algorithm>
#include <random>

#include "storage/labels.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

Matcher Make(MatchType type, const std::string& value) {
  auto m = Matcher::Create(type, "l", value);
  EXPECT_TRUE(m.ok()) << m.status();
  return *m;
}

TEST(Matcher, MatchesTheFourTypes) {
  EXPECT_TRUE(Make(MatchType::kEqual, "a").Matches("a"));
  EXPECT_FALSE(Make(MatchType::kEqual, "a").Matches("b"));
  EXPECT_TRUE(Make(MatchType::kNotEqual, "a").Matches(""));
  EXPECT_TRUE(Make(MatchType::kRegex, "a.*").Matches("ab\nc"));
  EXPECT_FALSE(Make(MatchType::kRegex, "a").Matches("ab"));
  EXPECT_TRUE(Make(MatchType::kNotRegex, "a|b").Matches("c"));
  EXPECT_FALSE(Make(MatchType::kNotRegex, "a|b").Matches("b"));
}

using Strings = std::vector<std::string>;

Strings Literals(const std::string& regex) {
  const Matcher m = Make(MatchType::kRegex, regex);
  return {m.literals().begin(), m.literals().end()};
}
Strings Prefixes(const std::string& regex) {
  const Matcher m = Make(MatchType::kRegex, regex);
  return {m.prefixes().begin(), m.prefixes().end()};
}

TEST(Matcher, ReducesRegexesToSets) {
  EXPECT_EQ(Literals("b|a|b"), (Strings{"a", "b"}));
  EXPECT_EQ(Literals("(a\\.b|c)"), (Strings{"a.b", "c"}));
  EXPECT_EQ(Literals("(a|b)c"), (Strings{"ac", "bc"}));
  EXPECT_EQ(Literals("x-(a|[0-2])-(?:y|z)?"),
            (Strings{"x-0-", "x-0-y", "x-0-z", "x-1-", "x-1-y", "x-1-z", "x-2-",
                     "x-2-y", "x-2-z", "x-a-", "x-a-y", "x-a-z"}));
  EXPECT_EQ(Literals("[abc]x"), (Strings{"ax", "bx", "cx"}));
  EXPECT_EQ(Literals("^(a|b)$"), (Strings{"a", "b"}));
  EXPECT_EQ(Literals("^a|b$"), (Strings{"a", "b"}));
  EXPECT_EQ(Literals("\xc3\xbc?a"), (Strings{"a",
                                             "\xc3\xbc"
                                             "a"}));
  for (const char* other : {"(?i)a|b", "a.", "a+", "[^a]", "\\Qa|b\\E", "\\d",
                            "a(^b)", "a$b", "[a[:alpha:]]", "(?P<n>a)"}) {
    EXPECT_EQ(Literals(other), Strings()) << other;
  }
  EXPECT_TRUE(Make(MatchType::kRegex, "(a)|(b)").Matches("a"));
  EXPECT_TRUE(Make(MatchType::kRegex, "a|").MatchesEmpty());
  const Matcher negative = Make(MatchType::kNotRegex, "a|b");
  EXPECT_TRUE(negative.literals().empty() && negative.prefixes().empty());
  EXPECT_EQ(negative.excluded().size(), 2u);
}

TEST(Matcher, ReducesRegexesToPrefixes) {
  EXPECT_EQ(Prefixes("abc.*"), Strings{"abc"});
  EXPECT_EQ(Prefixes("abc*"), Strings{"ab"});
  EXPECT_EQ(Prefixes("ab\xc3\xbc*"), Strings{"ab"});
  EXPECT_EQ(Prefixes("ab|cd.*"), (Strings{"ab", "cd"}));
  EXPECT_EQ(Prefixes("(a|ab|b)-.*"), (Strings{"a-", "ab-", "b-"}));
  EXPECT_EQ(Prefixes("(a|ab).*"), Strings{"a"});
  EXPECT_EQ(Prefixes("x(1|2).+|y\\d+"), (Strings{"x1", "x2", "y"}));
  EXPECT_EQ(Prefixes("a|.*"), Strings());
  EXPECT_EQ(Prefixes("(?i)abc.*"), Strings());
  // Neither long nor slow, however much it would be.
  std::string much = "z";
  for (int i = 0; i < 40; ++i) much += "[a-z]";
  ASSERT_EQ(Prefixes(much).size(), 1u);
  EXPECT_TRUE(
      Make(MatchType::kRegex, much).Matches("z" + std::string(40, 'q')));
}

/// A regex of forms that are reduced and others.
std::string RandomRegex(std::mt19937_64* random, int depth) {
  static constexpr const char* kAtoms[] = {
      "a",    "b",     "-",    "ab",  "\\.", "\xc3\xbc", ".",
      "[ab]", "[a-c]", "[^a]", "\\w", "\\d", ".*",       ".+",
      "^",    "$",     "}",    "\\-", "[.]", "\\\\"};
  std::string out;
  for (uint64_t n = (*random)() % 4; n > 0; --n) {
    if (depth > 0 && (*random)() % 3 == 0) {
      out += (*random)() % 8 == 0 ? "(?i:" : (*random)() % 2 ? "(" : "(?:";
      out += RandomRegex(random, depth - 1) + ")";
    } else {
      out += kAtoms[(*random)() % std::size(kAtoms)];
    }
    static constexpr const char* kOperators[] = {"?",  "*",  "+", "{1,2}",
                                                 "??", "*?", "{"};
    if ((*random)() % 6 == 0) out += kOperators[(*random)() % 7];
  }
  if ((*random)() % 3 == 0) out += "|" + RandomRegex(random, depth);
  return out;
}

std::string RandomValue(std::mt19937_64* random) {
  static constexpr std::string_view kParts[] = {
      "a", "b", "-", ".", "c", "A", "\xc3\xbc", "\xff", "\n", "\\", "1", "}"};
  std::string out;
  for (uint64_t n = (*random)() % 6; n > 0; --n) {
    out += kParts[(*random)() % std::size(kParts)];
  }
  return out;
}

void ExpectAsRe2(const std::string& regex, const RE2& re,
                 const std::string& value) {
  const Matcher m = Make(MatchType::kRegex, regex);
  const bool expected = RE2::FullMatch(value, re);
  ASSERT_EQ(m.Matches(value), expected) << regex << " of " << Quote(value);
  ASSERT_NE(Make(MatchType::kNotRegex, regex).Matches(value), expected);
  const auto literals = m.literals();
  if (!literals.empty()) {
    ASSERT_EQ(std::count(literals.begin(), literals.end(), value), expected);
  }
  const auto prefixes = m.prefixes();
  if (expected && !prefixes.empty()) {
    ASSERT_TRUE(
        std::any_of(prefixes.begin(), prefixes.end(),
                    [&](const std::string& p) { return value.starts_with(p); }))
        << regex << " of " << Quote(value);
  }
}

TEST(Matcher, MatchesAsRe2AlsoWhatIsReduced) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  RE2::Options options(RE2::Quiet);
  options.set_dot_nl(true);
  int sets = 0;
  int prefixes = 0;
  for (int i = 0; i < 12'000; ++i) {
    const std::string regex = RandomRegex(&random, 3);
    const RE2 alone(regex, options);
    if (!alone.ok() || regex.size() > 200) continue;
    const RE2 re("^(?:" + regex + ")$", options);
    const Matcher m = Make(MatchType::kRegex, regex);
    sets += m.literals().empty() ? 0 : 1;
    prefixes += m.prefixes().empty() ? 0 : 1;
    for (int k = 0; k < 12; ++k) ExpectAsRe2(regex, re, RandomValue(&random));
    // Values near those it matches.
    for (const std::string& text :
         m.literals().first(std::min<size_t>(m.literals().size(), 3))) {
      ExpectAsRe2(regex, re, text);
    }
    for (const std::string& text :
         m.prefixes().first(std::min<size_t>(m.prefixes().size(), 3))) {
      ExpectAsRe2(regex, re, text + RandomValue(&random));
    }
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(sets, 500);
  EXPECT_GT(prefixes, 500);
}

TEST(Matcher, RefusesRegexesThatOnlyLookRightInBrackets) {
  EXPECT_FALSE(Matcher::Create(MatchType::kRegex, "l", "a)(b").ok());
  EXPECT_FALSE(Matcher::Create(MatchType::kRegex, "l", "(").ok());
}

}  // namespace
}  // namespace varve
