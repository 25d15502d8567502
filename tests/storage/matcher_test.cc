#include "storage/matcher.h"

#include <gtest/gtest.h>

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

TEST(Matcher, ReducesAlternationsToLiterals) {
  EXPECT_EQ(Make(MatchType::kRegex, "b|a|b").literals(),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Make(MatchType::kRegex, "(a\\.b|c)").literals(),
            (std::vector<std::string>{"a.b", "c"}));
  EXPECT_TRUE(Make(MatchType::kRegex, "(a|b)c").literals().empty());
  EXPECT_TRUE(Make(MatchType::kRegex, "(a)|(b)").Matches("a"));
  EXPECT_TRUE(Make(MatchType::kRegex, "a|").MatchesEmpty());
}

TEST(Matcher, PrefixLeavesOutWhatARepetitionMakesOptional) {
  EXPECT_EQ(Make(MatchType::kRegex, "abc.*").prefix(), "abc");
  EXPECT_EQ(Make(MatchType::kRegex, "abc*").prefix(), "ab");
  EXPECT_TRUE(Make(MatchType::kRegex, "ab\xc3\xbc*").Matches("ab"));
  EXPECT_EQ(Make(MatchType::kRegex, "ab|cd.*").prefix(), "");
}

TEST(Matcher, RefusesRegexesThatOnlyLookRightInBrackets) {
  EXPECT_FALSE(Matcher::Create(MatchType::kRegex, "l", "a)(b").ok());
  EXPECT_FALSE(Matcher::Create(MatchType::kRegex, "l", "(").ok());
}

}  // namespace
}  // namespace varve
