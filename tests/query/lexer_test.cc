#include "query/lexer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace varve::promql {
namespace {

std::vector<Token> Tokens(std::string_view text) {
  Lexer lexer(text);
  std::vector<Token> tokens;
  for (;;) {
    const Lexeme lexeme = lexer.Next();
    tokens.push_back(lexeme.token);
    if (lexeme.token == Token::kEndOfInput || lexeme.token == Token::kError) {
      return tokens;
    }
  }
}

using enum Token;

TEST(LexerTest, WordsDependOnTheBrackets) {
  EXPECT_EQ(Tokens("sum by (on) {on=\"x\"}"),
            (std::vector<Token>{kSum, kBy, kLeftParen, kOn, kRightParen,
                                kLeftBrace, kIdentifier, kEqual, kString,
                                kRightBrace, kEndOfInput}));
  EXPECT_EQ(Tokens("a:b c"),
            (std::vector<Token>{kMetricIdentifier, kIdentifier, kEndOfInput}));
  EXPECT_EQ(Tokens("x[5m:StEp()]"),
            (std::vector<Token>{kIdentifier, kLeftBracket, kDuration, kColon,
                                kStep, kLeftParen, kRightParen, kRightBracket,
                                kEndOfInput}));
  EXPECT_EQ(Tokens("fill fill_left (1)"),
            (std::vector<Token>{kIdentifier, kFillLeft, kLeftParen, kNumber,
                                kRightParen, kEndOfInput}));
}

TEST(LexerTest, NumbersAndDurations) {
  EXPECT_EQ(Tokens("1 .5 5. 1e-3 0x1F 1_000 inf NaN"),
            (std::vector<Token>{kNumber, kNumber, kNumber, kNumber, kNumber,
                                kNumber, kNumber, kNumber, kEndOfInput}));
  EXPECT_EQ(Tokens("5m 1h30m 1y 10ms"),
            (std::vector<Token>{kDuration, kDuration, kDuration, kDuration,
                                kEndOfInput}));
  EXPECT_EQ(Tokens("5q"), std::vector<Token>{kError});
}

TEST(LexerTest, CommentsAndSpaceVanish) {
  EXPECT_EQ(Tokens("# only"), std::vector<Token>{kEndOfInput});
  EXPECT_EQ(Tokens("a # b\n c\r\n\t# d"),
            (std::vector<Token>{kIdentifier, kIdentifier, kEndOfInput}));
  EXPECT_EQ(Tokens("\"#\" '#' `#`"),
            (std::vector<Token>{kString, kString, kString, kEndOfInput}));
}

TEST(LexerTest, TheFirstErrorEnds) {
  Lexer lexer("a $ b");
  EXPECT_EQ(lexer.Next().token, kIdentifier);
  EXPECT_EQ(lexer.Next().token, kError);
  EXPECT_EQ(lexer.error(), "unexpected character: '$'");
  EXPECT_EQ(lexer.error_position(), 2);
  EXPECT_EQ(lexer.Next().token, kError);
}

TEST(LexerTest, Describes) {
  EXPECT_EQ(Describe({kSum, 0, "Sum"}), "<aggr:Sum>");
  EXPECT_EQ(Describe({kOffset, 0, "offset"}), "<offset>");
  EXPECT_EQ(Describe({kPow, 0, "^"}), "<op:^>");
  EXPECT_EQ(Describe({kLeftBrace, 0, "{"}), "\"{\"");
  EXPECT_EQ(Describe({kString, 0, "\"abcdefghijkl\""}),
            "string \"\\\"abcdefghi\"...");
  EXPECT_EQ(Describe({kEndOfInput, 9, ""}), "end of input");
}

}  // namespace
}  // namespace varve::promql
