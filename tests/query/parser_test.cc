#include "query/parser.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

struct Case {
  std::string query;
  std::string error;
};

void ExpectRefused(const Case& c) {
  SCOPED_TRACE(c.query);
  const auto parsed = ParseExpr(c.query);
  ASSERT_FALSE(parsed.ok()) << ToString(**parsed);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(parsed.status()), c.error);
}

// Query and error text as Prometheus 3.5 gives it.
TEST(ParserTest, RefusedAsByPrometheus) {
  const Case kCases[] = {
      {"1 == 1",
       "1:3: parse error: comparisons between scalars must use BOOL modifier"},
      {"foo * on(a) group_left (bar)",
       "1:29: parse error: unexpected end of input"},
      {"bool", "1:1: parse error: unexpected <bool>"},
      {"on", "1:1: parse error: unexpected <on>"},
      {"0o17", "1:1: parse error: bad number or duration syntax: \"0\""},
      {"0b11", "1:1: parse error: bad number or duration syntax: \"0\""},
      {"1__0", "1:1: parse error: bad number or duration syntax: \"1__\""},
      {"1E+400",
       "1:1: parse error: error parsing number: strconv.ParseFloat: parsing "
       "\"1E+400\": value out of range"},
      {"0x",
       "1:1: parse error: error parsing number: strconv.ParseFloat: parsing "
       "\"0x\": invalid syntax"},
      {"0x1e", "1:1: parse error: bad number or duration syntax: \"0x1e\""},
      {"0xfffffffffffffffff",
       "1:1: parse error: error parsing number: strconv.ParseFloat: parsing "
       "\"0xfffffffffffffffff\": invalid syntax"},
      {"5m1h", "1:1: parse error: not a valid duration string: \"5m1h\""},
      {"1m1m", "1:1: parse error: not a valid duration string: \"1m1m\""},
      {"5x", "1:1: parse error: bad number or duration syntax: \"5\""},
      {"5mm", "1:1: parse error: bad number or duration syntax: \"5mm\""},
      {"foo[0]", "1:5: parse error: duration must be greater than 0"},
      {"foo[-5m]", "1:5: parse error: duration must be greater than 0"},
      {"foo[5m:0]", "1:8: parse error: duration must be greater than 0"},
      {"foo[5m:-1]", "1:8: parse error: duration must be greater than 0"},
      {"foo offset 1m offset 2m",
       "1:1: parse error: offset may not be set multiple times"},
      {"foo @ 1 @ 2",
       "1:1: parse error: @ <timestamp> may not be set multiple times"},
      {"foo @ inf",
       "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
      {"foo @ nan",
       "1:1: parse error: timestamp out of bounds for @ modifier: NaN"},
      {"foo @ 1e20",
       "1:1: parse error: timestamp out of bounds for @ modifier: "
       "100000000000000000000.000000"},
      {"foo @ bar",
       "1:7: parse error: unexpected identifier \"bar\" in @, expected "
       "timestamp"},
      {"foo @ start",
       "1:12: parse error: unexpected end of input in @, expected timestamp"},
      {"foo @ start(", "1:13: parse error: unclosed left parenthesis"},
      {"foo @",
       "1:6: parse error: unexpected end of input in @, expected timestamp"},
      {"foo[5m/0]", "1:7: parse error: division by zero"},
      {"foo[5m%0]", "1:7: parse error: modulo by zero"},
      {"{}",
       "1:1: parse error: vector selector must contain at least one non-empty "
       "matcher"},
      {"{a=\"\"}",
       "1:1: parse error: vector selector must contain at least one non-empty "
       "matcher"},
      {"{a=~\".*\"}",
       "1:1: parse error: vector selector must contain at least one non-empty "
       "matcher"},
      {"foo{,}",
       "1:5: parse error: unexpected \",\" in label matching, expected "
       "identifier or \"}\""},
      {"foo{a}",
       "1:6: parse error: unexpected \"}\" in label matching, expected label "
       "matching operator"},
      {"foo{a=}",
       "1:7: parse error: unexpected \"}\" in label matching, expected string"},
      {"foo{a=b}",
       "1:7: parse error: unexpected identifier \"b\" in label matching, "
       "expected string"},
      {"foo{a=\"b\" c=\"d\"}",
       "1:11: parse error: unexpected identifier \"c\" in label matching, "
       "expected \",\" or \"}\""},
      {"foo{a=\"b\",,}",
       "1:11: parse error: unexpected \",\" in label matching, expected "
       "identifier or \"}\""},
      {"foo{a=\"b\"",
       "1:10: parse error: unexpected end of input inside braces"},
      {"foo{a=\"b", "1:7: parse error: unterminated quoted string"},
      {"foo{a=~\"[\"}",
       "1:5: parse error: error parsing regexp: missing closing ]: `[`"},
      {"foo{a=~\"(\"}",
       "1:5: parse error: error parsing regexp: missing closing ): `(`"},
      {"foo{a=~\"*\"}",
       "1:5: parse error: error parsing regexp: missing argument to repetition "
       "operator: `*`"},
      {"foo{a=~\"a**\"}",
       "1:5: parse error: error parsing regexp: invalid nested repetition "
       "operator: `**`"},
      {"foo{a=~\"\\q\"}",
       "1:8: parse error: unknown escape sequence U+0071 'q'"},
      {"foo{a=~\"a{2,1}\"}",
       "1:5: parse error: error parsing regexp: invalid repeat count: `{2,1}`"},
      {"foo{a=~\"(?P<n>a\"}",
       "1:5: parse error: error parsing regexp: missing closing ): `(?P<n>a`"},
      {"foo{a=~\"\\xZZ\"}",
       "1:8: parse error: illegal character U+005A 'Z' in escape sequence"},
      {"foo{a=~\")\"}",
       "1:5: parse error: error parsing regexp: unexpected ): `)`"},
      {"foo{a=~\"[b-a]\"}",
       "1:5: parse error: error parsing regexp: invalid character class range: "
       "`b-a`"},
      {"foo{a=~\"a{1001}\"}",
       "1:5: parse error: error parsing regexp: invalid repeat count: "
       "`{1001}`"},
      {"foo{a=~\"[[:foo:]]\"}",
       "1:5: parse error: error parsing regexp: invalid character class range: "
       "`[:foo:]`"},
      {"foo{a=~\"\\pX\"}",
       "1:8: parse error: unknown escape sequence U+0070 'p'"},
      {"foo{a=~\"(?z)\"}",
       "1:5: parse error: error parsing regexp: invalid or unsupported Perl "
       "syntax: `(?z`"},
      {"foo{__name__=\"bar\"}",
       "1:1: parse error: metric name must not be set twice: \"foo\" or "
       "\"bar\""},
      {"foo{__name__=~\"bar\"}",
       "1:1: parse error: metric name must not be set twice: \"foo\" or "
       "\"bar\""},
      {"foo{a=='b'}",
       "1:7: parse error: unexpected \"=\" in label matching, expected string"},
      {"foo{a!\"b\"}",
       "1:6: parse error: unexpected character after '!' inside braces: '\"'"},
      {"foo{!}",
       "1:5: parse error: unexpected character after '!' inside braces: '}'"},
      {"foo{%}", "1:5: parse error: unexpected character inside braces: '%'"},
      {"\"a\\qb\"", "1:1: parse error: unknown escape sequence U+0071 'q'"},
      {"\"a\\", "1:1: parse error: escape sequence not terminated"},
      {"\"abc", "1:1: parse error: unterminated quoted string"},
      {"'abc", "1:1: parse error: unterminated quoted string"},
      {"`abc", "1:1: parse error: unterminated raw string"},
      {"\"a\\xZ1\"",
       "1:1: parse error: illegal character U+005A 'Z' in escape sequence"},
      {"\"a\\400\"",
       "1:1: parse error: escape sequence is an invalid Unicode code point"},
      {"\"\\uD800\"",
       "1:1: parse error: escape sequence is an invalid Unicode code point"},
      {"\"\\U00110000\"",
       "1:1: parse error: escape sequence is an invalid Unicode code point"},
      {"\"\377\"", "1:1: parse error: invalid UTF-8 rune"},
      {"\"\\'\"", "1:1: parse error: unknown escape sequence U+0027 '''"},
      {"# only", "1:1: parse error: no expression found in input"},
      {"sum(", "1:5: parse error: unclosed left parenthesis"},
      {"sum()",
       "1:1: parse error: no arguments for aggregate expression provided"},
      {"sum(foo", "1:8: parse error: unclosed left parenthesis"},
      {"sum(foo,bar)",
       "1:1: parse error: wrong number of arguments for aggregate expression "
       "provided, expected 1, got 2"},
      {"topk(foo)",
       "1:1: parse error: wrong number of arguments for aggregate expression "
       "provided, expected 2, got 1"},
      {"topk()",
       "1:1: parse error: no arguments for aggregate expression provided"},
      {"sum foo", "1:5: parse error: unexpected identifier \"foo\""},
      {"sum by foo",
       "1:8: parse error: unexpected identifier \"foo\" in grouping opts, "
       "expected \"(\""},
      {"sum by (foo", "1:12: parse error: unclosed left parenthesis"},
      {"sum by (foo) foo",
       "1:14: parse error: unexpected identifier \"foo\" in aggregation"},
      {"sum by (foo) (", "1:15: parse error: unclosed left parenthesis"},
      {"sum by (foo,,) (x)",
       "1:13: parse error: unexpected \",\" in grouping opts, expected label"},
      {"sum by (foo bar) (x)",
       "1:13: parse error: unexpected identifier \"bar\" in grouping opts, "
       "expected \",\" or \")\""},
      {"sum by (1) (x)",
       "1:9: parse error: unexpected number \"1\" in grouping opts, expected "
       "label"},
      {"sum by () (x) by (y)", "1:15: parse error: unexpected <by>"},
      {"sum(x) by",
       "1:10: parse error: unexpected end of input in grouping opts, expected "
       "\"(\""},
      {"sum(x) by y",
       "1:11: parse error: unexpected identifier \"y\" in grouping opts, "
       "expected \"(\""},
      {"sum by (without) (x)",
       "1:9: parse error: unexpected <without> in grouping opts, expected "
       "label"},
      {"sum by (\"\") (x)",
       "1:9: parse error: invalid label name for grouping: \"\""},
      {"sum(foo bar)",
       "1:9: parse error: unexpected identifier \"bar\" in aggregation"},
      {"sum(rate(foo[5m]) bar)",
       "1:19: parse error: unexpected identifier \"bar\" in aggregation"},
      {"sum(1)",
       "1:5: parse error: expected type instant vector in aggregation "
       "expression, got scalar"},
      {"sum(\"x\")",
       "1:5: parse error: expected type instant vector in aggregation "
       "expression, got string"},
      {"sum(foo[5m])",
       "1:5: parse error: expected type instant vector in aggregation "
       "expression, got range vector"},
      {"count_values(5, foo)",
       "1:14: parse error: expected type string in aggregation parameter, got "
       "scalar"},
      {"topk(\"x\", foo)",
       "1:6: parse error: expected type scalar in aggregation parameter, got "
       "string"},
      {"foo bar", "1:5: parse error: unexpected identifier \"bar\""},
      {"foo 5", "1:5: parse error: unexpected number \"5\""},
      {"foo \"x\"", "1:5: parse error: unexpected string \"\\\"x\\\"\""},
      {"foo)", "1:5: parse error: unexpected right parenthesis ')'"},
      {"(foo", "1:5: parse error: unclosed left parenthesis"},
      {"((foo)", "1:7: parse error: unclosed left parenthesis"},
      {"()", "1:2: parse error: unexpected \")\""},
      {"foo(", "1:5: parse error: unclosed left parenthesis"},
      {"foo()", "1:1: parse error: unknown function with name \"foo\""},
      {"rate()",
       "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"},
      {"rate(foo)",
       "1:6: parse error: expected type range vector in call to function "
       "\"rate\", got instant vector"},
      {"rate(foo[5m],1)",
       "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"},
      {"rate(foo[5m],)",
       "1:13: parse error: trailing commas not allowed in function call args"},
      {"rate(,)", "1:6: parse error: unexpected \",\""},
      {"rate(foo[5m],,1)",
       "1:13: parse error: trailing commas not allowed in function call args"},
      {"rate(foo[5m]", "1:13: parse error: unclosed left parenthesis"},
      {"unknown(foo)",
       "1:1: parse error: unknown function with name \"unknown\""},
      {"unknown(foo", "1:12: parse error: unclosed left parenthesis"},
      {"abs(foo,)",
       "1:8: parse error: trailing commas not allowed in function call args"},
      {"round(foo,1,2)",
       "1:1: parse error: expected at most 2 argument(s) in call to \"round\", "
       "got 3"},
      {"round()",
       "1:1: parse error: expected at least 1 argument(s) in call to "
       "\"round\", got 0"},
      {"label_join(foo)",
       "1:1: parse error: expected at least 3 argument(s) in call to "
       "\"label_join\", got 1"},
      {"label_join(foo,\"a\",\"b\",\"c\",\"d\",5)",
       "1:32: parse error: expected type string in call to function "
       "\"label_join\", got scalar"},
      {"label_replace(foo,\"a\",\"b\",\"c\",1)",
       "1:31: parse error: expected type string in call to function "
       "\"label_replace\", got scalar"},
      {"time(1)",
       "1:1: parse error: expected 0 argument(s) in call to \"time\", got 1"},
      {"vector(foo)",
       "1:8: parse error: expected type scalar in call to function \"vector\", "
       "got instant vector"},
      {"scalar(1)",
       "1:8: parse error: expected type instant vector in call to function "
       "\"scalar\", got scalar"},
      {"histogram_quantile(foo,bar)",
       "1:20: parse error: expected type scalar in call to function "
       "\"histogram_quantile\", got instant vector"},
      {"histogram_quantile(0.9,foo[5m])",
       "1:24: parse error: expected type instant vector in call to function "
       "\"histogram_quantile\", got range vector"},
      {"minute(foo,bar)",
       "1:1: parse error: expected at most 1 argument(s) in call to "
       "\"minute\", got 2"},
      {"1 + ", "1:5: parse error: unexpected end of input"},
      {"+ ", "1:3: parse error: unexpected end of input"},
      {"foo + ", "1:7: parse error: unexpected end of input"},
      {"foo + )", "1:8: parse error: unexpected right parenthesis ')'"},
      {"foo and", "1:8: parse error: unexpected end of input"},
      {"foo and 1",
       "1:1: parse error: set operator \"and\" not allowed in binary scalar "
       "expression"},
      {"1 and foo",
       "1:1: parse error: set operator \"and\" not allowed in binary scalar "
       "expression"},
      {"1 or 2",
       "1:1: parse error: set operator \"or\" not allowed in binary scalar "
       "expression"},
      {"foo + \"x\"",
       "1:7: parse error: binary expression must contain only scalar and "
       "instant vector types"},
      {"\"x\" + foo",
       "1:1: parse error: binary expression must contain only scalar and "
       "instant vector types"},
      {"foo[5m] + 1",
       "1:1: parse error: binary expression must contain only scalar and "
       "instant vector types"},
      {"1 + foo[5m]",
       "1:5: parse error: binary expression must contain only scalar and "
       "instant vector types"},
      {"foo + on(a) 1",
       "1:1: parse error: vector matching only allowed between instant "
       "vectors"},
      {"foo == on(a) group_left(a) bar",
       "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at "
       "once"},
      {"foo and on(a) group_left(b) bar",
       "1:1: parse error: no grouping allowed for \"and\" operation"},
      {"foo or ignoring(x) group_right bar",
       "1:1: parse error: no grouping allowed for \"or\" operation"},
      {"foo + bool bar",
       "1:5: parse error: bool modifier can only be used on comparison "
       "operators"},
      {"foo + bool on (a) bar",
       "1:5: parse error: bool modifier can only be used on comparison "
       "operators"},
      {"foo bool bar", "1:5: parse error: unexpected <bool>"},
      {"foo on (a) bar", "1:5: parse error: unexpected <on>"},
      {"foo == bool", "1:12: parse error: unexpected end of input"},
      {"1 > 2",
       "1:3: parse error: comparisons between scalars must use BOOL modifier"},
      {"1   >   2",
       "1:5: parse error: comparisons between scalars must use BOOL modifier"},
      {"(1) == (2)",
       "1:5: parse error: comparisons between scalars must use BOOL modifier"},
      {"foo + on bar",
       "1:10: parse error: unexpected identifier \"bar\" in grouping opts, "
       "expected \"(\""},
      {"foo + on (", "1:11: parse error: unclosed left parenthesis"},
      {"foo + on (a", "1:12: parse error: unclosed left parenthesis"},
      {"foo + on (a) group_left",
       "1:24: parse error: unexpected end of input in grouping opts, expected "
       "\"(\""},
      {"foo + on (a) group_left( bar",
       "1:29: parse error: unclosed left parenthesis"},
      {"foo + group_left(a) bar", "1:7: parse error: unexpected <group_left>"},
      {"foo + on(a) on(b) bar", "1:13: parse error: unexpected <on>"},
      {"-\"x\"",
       "1:1: parse error: unary expression only allowed on expressions of type "
       "scalar or instant vector, got \"string\""},
      {"-foo[5m]",
       "1:1: parse error: unary expression only allowed on expressions of type "
       "scalar or instant vector, got \"range vector\""},
      {"+\"x\"",
       "1:1: parse error: unary expression only allowed on expressions of type "
       "scalar or instant vector, got \"string\""},
      {"foo[",
       "1:5: parse error: unexpected end of input in duration expression"},
      {"foo[5m", "1:7: parse error: unclosed left bracket"},
      {"foo[5m 1m]",
       "1:8: parse error: unexpected duration \"1m\" in subquery or range, "
       "expected \":\" or \"]\""},
      {"foo[5m,1m]",
       "1:7: parse error: unexpected \",\" in subquery or range, expected "
       "\":\" or \"]\""},
      {"foo[5m)]", "1:8: parse error: unexpected right parenthesis ')'"},
      {"foo[5m]]", "1:8: parse error: unexpected right bracket ']'"},
      {"foo]", "1:4: parse error: unexpected right bracket ']'"},
      {"foo[bar]",
       "1:5: parse error: unexpected character in duration expression: 'b'"},
      {"foo[\"5m\"]",
       "1:5: parse error: unexpected character in duration expression: '\"'"},
      {"foo[5m:1m", "1:10: parse error: unclosed left bracket"},
      {"foo[5m:1m:1m]", "1:10: parse error: unexpected colon ':'"},
      {"foo[5m::1m]", "1:8: parse error: unexpected colon ':'"},
      {"foo[:1m]",
       "1:6: parse error: unexpected colon before duration in duration "
       "expression"},
      {"foo[5m:)]", "1:9: parse error: unexpected right parenthesis ')'"},
      {"foo[5m:1m)]", "1:11: parse error: unexpected right parenthesis ')'"},
      {"foo[5m][5m]",
       "1:8: parse error: ranges only allowed for vector selectors"},
      {"foo[5m][5m:1m]",
       "1:1: parse error: subquery is only allowed on instant vector, got "
       "matrix instead"},
      {"foo[5m:1m][5m:1m]",
       "1:1: parse error: subquery is only allowed on instant vector, got "
       "matrix instead"},
      {"(foo)[5m]",
       "1:6: parse error: ranges only allowed for vector selectors"},
      {"sum(foo)[5m]",
       "1:9: parse error: ranges only allowed for vector selectors"},
      {"1[5m]", "1:2: parse error: ranges only allowed for vector selectors"},
      {"1[5m:]",
       "1:1: parse error: subquery is only allowed on instant vector, got "
       "scalar instead"},
      {"\"x\"[5m:]",
       "1:1: parse error: subquery is only allowed on instant vector, got "
       "string instead"},
      {"foo offset 5m [5m]",
       "1:15: parse error: no offset modifiers allowed before range"},
      {"foo @ 10 [5m]",
       "1:10: parse error: no @ modifiers allowed before range"},
      {"sum(foo) offset 5m",
       "1:1: parse error: offset modifier must be preceded by an instant "
       "vector selector or range vector selector or a subquery"},
      {"1 offset 5m",
       "1:1: parse error: offset modifier must be preceded by an instant "
       "vector selector or range vector selector or a subquery"},
      {"(foo) offset 5m",
       "1:1: parse error: offset modifier must be preceded by an instant "
       "vector selector or range vector selector or a subquery"},
      {"(foo) @ 5",
       "1:1: parse error: @ modifier must be preceded by an instant vector "
       "selector or range vector selector or a subquery"},
      {"foo[5m] offset 1m offset 2m",
       "1:1: parse error: offset may not be set multiple times"},
      {"foo offset 1y1y",
       "1:12: parse error: bad number or duration syntax: \"1y1\""},
      {"foo offset 10000y", "1:12: parse error: duration out of range"},
      {"foo offset 1e10", "1:12: parse error: duration out of range"},
      {"foo offset inf", "1:12: parse error: duration out of range"},
      {"foo[inf]",
       "1:5: parse error: unexpected character in duration expression: 'i'"},
      {"foo[1e12]", "1:5: parse error: duration out of range"},
      {"foo[10000y]", "1:5: parse error: duration out of range"},
      {"10000y", "1:1: parse error: duration out of range"},
      {"foo @ (5)",
       "1:7: parse error: unexpected \"(\" in @, expected timestamp"},
      {"foo @ start()()", "1:14: parse error: unexpected \"(\""},
      {"foo @ 5 5", "1:9: parse error: unexpected number \"5\""},
      {"foo{a=\"b\"}{c=\"d\"}", "1:11: parse error: unexpected \"{\""},
      {"{a=\"b\"} foo", "1:9: parse error: unexpected identifier \"foo\""},
      {"foo{}bar", "1:6: parse error: unexpected identifier \"bar\""},
      {"foo;", "1:4: parse error: unexpected character: ';'"},
      {"foo$", "1:4: parse error: unexpected character: '$'"},
      {"foo !",
       "1:5: parse error: unexpected character after '!': '\357\277\275'"},
      {"foo =", "1:5: parse error: unexpected \"=\""},
      {"foo = bar", "1:5: parse error: unexpected \"=\""},
      {"foo =~ \"bar\"",
       "1:5: parse error: unexpected character after '=': '~'"},
      {"foo !~ \"bar\"",
       "1:5: parse error: unexpected character after '!': '~'"},
      {"foo ! bar", "1:5: parse error: unexpected character after '!': ' '"},
      {"foo & bar", "1:5: parse error: unexpected character: '&'"},
      {"foo | bar", "1:5: parse error: unexpected character: '|'"},
      {"\303\244", "1:1: parse error: unexpected character: '\303\244'"},
      {"foo\001", "1:4: parse error: unexpected character: '\\x01'"},
      {"foo\377", "1:4: parse error: unexpected character: '\357\277\275'"},
      {"foo{\303\244=\"x\"}",
       "1:5: parse error: unexpected character inside braces: '\303\244'"},
      {"foo:bar(1)", "1:8: parse error: unexpected \"(\""},
      {"5 5", "1:3: parse error: unexpected number \"5\""},
      {"5a", "1:1: parse error: bad number or duration syntax: \"5\""},
      {"5.5.5", "1:1: parse error: bad number or duration syntax: \"5.5.\""},
      {"1e", "1:1: parse error: bad number or duration syntax: \"1e\""},
      {"1e+", "1:1: parse error: bad number or duration syntax: \"1e+\""},
      {"1_", "1:1: parse error: bad number or duration syntax: \"1_\""},
      {"1._5", "1:1: parse error: bad number or duration syntax: \"1._\""},
      {"5m5", "1:1: parse error: bad number or duration syntax: \"5m5\""},
      {"5ms5s", "1:1: parse error: not a valid duration string: \"5ms5s\""},
      {"1h1", "1:1: parse error: bad number or duration syntax: \"1h1\""},
      {"1m1h", "1:1: parse error: not a valid duration string: \"1m1h\""},
      {"\"a\" \"b\"", "1:5: parse error: unexpected string \"\\\"b\\\"\""},
      {"!= foo", "1:1: parse error: unexpected <op:!=>"},
      {"== 1", "1:1: parse error: unexpected <op:==>"},
      {"* foo", "1:1: parse error: unexpected <op:*>"},
      {",", "1:1: parse error: unexpected \",\""},
      {"foo,", "1:4: parse error: unexpected \",\""},
      {"foo,bar", "1:4: parse error: unexpected \",\""},
      {"sum(foo),bar", "1:9: parse error: unexpected \",\""},
      {"{", "1:2: parse error: unexpected end of input inside braces"},
      {"}", "1:1: parse error: unexpected character: '}'"},
      {"[", "1:1: parse error: unexpected \"[\""},
      {"]", "1:1: parse error: unexpected right bracket ']'"},
      {"(", "1:2: parse error: unclosed left parenthesis"},
      {")", "1:2: parse error: unexpected right parenthesis ')'"},
      {"sum(foo}", "1:8: parse error: unexpected character: '}'"},
      {"{a=\"b\"]",
       "1:7: parse error: unexpected character inside braces: ']'"},
      {"foo{a=\"b\")",
       "1:10: parse error: unexpected character inside braces: ')'"},
      {"RATE(foo[5m])",
       "1:1: parse error: unknown function with name \"RATE\""},
      {"BOOL", "1:1: parse error: unexpected <BOOL>"},
      {"info(foo,bar)",
       "1:10: parse error: expected label selectors only, got vector selector "
       "instead"},
      {"info(foo,{a=\"b\"},1)",
       "1:1: parse error: expected at most 2 argument(s) in call to \"info\", "
       "got 3"},
      {"holt_winters(foo[5m],0.1,0.2)",
       "1:1: parse error: unknown function with name \"holt_winters\""},
      {"foo * on(a) group_left(a,b) bar",
       "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at "
       "once"},
      {"foo{__name__!=\"x\"}",
       "1:1: parse error: metric name must not be set twice: \"foo\" or \"x\""},
      {"\n\nfoo bar", "3:5: parse error: unexpected identifier \"bar\""},
      {"foo +\n  bar baz", "2:7: parse error: unexpected identifier \"baz\""},
      {"t foo  (", "1:3: parse error: unexpected identifier \"foo\""},
      {"sum(sum(foo bar))",
       "1:13: parse error: unexpected identifier \"bar\" in aggregation"},
      {"sum(foo + on bar)",
       "1:14: parse error: unexpected identifier \"bar\" in grouping opts, "
       "expected \"(\""},
      {"sum by (a) (foo{b)",
       "1:18: parse error: unexpected character inside braces: ')'"},
      {"rate(foo[5m]) by (x)", "1:15: parse error: unexpected <by>"},
      {"sum(x) by (a) without (b)", "1:15: parse error: unexpected <without>"},
      {"foo + on (a) group_left )",
       "1:26: parse error: unexpected right parenthesis ')'"},
      {"foo + on (a) group_left bool",
       "1:25: parse error: unexpected <bool> in grouping opts, expected \"(\""},
      {"sum(foo + on (a) group_left )",
       "1:29: parse error: unexpected \")\" in grouping opts, expected \"(\""},
      {"foo + on (a) group_left ]",
       "1:25: parse error: unexpected right bracket ']'"},
      {"foo + on (a) group_left [",
       "1:25: parse error: unexpected \"[\" in grouping opts, expected \"(\""},
      {"foo + on (a) group_left + 1",
       "1:1: parse error: vector matching only allowed between instant "
       "vectors"},
      {"foo + on (a) group_left \"x\"",
       "1:25: parse error: binary expression must contain only scalar and "
       "instant vector types"},
      {"foo + on (a) bool bar", "1:14: parse error: unexpected <bool>"},
      {"foo + ignoring (a) and bar",
       "1:24: parse error: unexpected identifier \"bar\""},
      {"foo + )", "1:8: parse error: unexpected right parenthesis ')'"},
      {"foo + bool )", "1:13: parse error: unexpected right parenthesis ')'"},
      {"foo == bool and bar",
       "1:17: parse error: unexpected identifier \"bar\""},
  };
  for (const Case& c : kCases) ExpectRefused(c);
}

// Where 3.14 has other words than 3.5, or constructs of its own.
TEST(ParserTest, RefusedNewConstructs) {
  const Case kCases[] = {
      {"foo offset bar",
       "1:12: parse error: unexpected identifier \"bar\" in offset, expected "
       "number, duration, step(), or range()"},
      {"foo[]",
       "1:5: parse error: unexpected \"]\" in subquery or range selector, "
       "expected number, duration, step(), or range()"},
      {"foo[5m:,]",
       "1:8: parse error: unexpected \",\" in subquery selector, expected "
       "number, duration, step(), range(), or \"]\""},
      {"foo offset nan", "1:12: parse error: duration out of range"},
      {"foo[step(]",
       "1:10: parse error: unexpected \"]\" in subquery or range "
       "selector, expected number, duration, step(), or range()"},
      {"foo[5m] anchored smoothed",
       "1:1: parse error: anchored and smoothed modifiers cannot be used "
       "together"},
      {"foo[5m:] anchored",
       "1:1: parse error: anchored modifier is not supported for subqueries"},
      {"sum(foo) smoothed",
       "1:1: parse error: smoothed modifier not implemented"},
      {"foo and fill(0) bar",
       "1:1: parse error: filling in missing series not allowed for set "
       "operators"},
      {"foo + fill(0) 1",
       "1:1: parse error: filling in missing series only allowed between "
       "instant vectors"},
      {"info(foo, 1)",
       "1:1: parse error: expected type instant vector in call to function "
       "\"info\", got scalar"},
      {"info(foo, bar)",
       "1:11: parse error: expected label selectors only, got vector selector "
       "instead"},
      {"info(foo, sum(bar))",
       "1:11: parse error: expected label selectors only"},
      {"min_of(1)",
       "1:1: parse error: expected 2 argument(s) in call to "
       "\"min_of\", got 1"},
  };
  for (const Case& c : kCases) ExpectRefused(c);
}

std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(ParserTest, BoundsTheHeight) {
  constexpr int kTimes = 10000;
  const std::string kQueries[] = {
      Repeat("(", kTimes) + "1" + Repeat(")", kTimes),
      Repeat("sum(", kTimes) + "a" + Repeat(")", kTimes),
      Repeat("-(", kTimes) + "a" + Repeat(")", kTimes),
      Repeat("-", kTimes) + "a",
      "a" + Repeat("+a", kTimes),
      "a" + Repeat("^a", kTimes),
      "a" + Repeat("[5m:]", kTimes),
      "a[" + Repeat("(", kTimes) + "1" + Repeat(")", kTimes) + "]",
      "a[" + Repeat("-", kTimes) + "1]",
      "a[1" + Repeat("+1", kTimes) + "]",
      "a[1" + Repeat("^1", kTimes) + "]",
      "a[" + Repeat("min_of(1,", kTimes) + "1" + Repeat(")", kTimes) + "]",
      "a offset " + Repeat("-", kTimes) + "1",
  };
  for (const std::string& query : kQueries) {
    const auto parsed = ParseExpr(query);
    ASSERT_FALSE(parsed.ok()) << query.substr(0, 20);
    EXPECT_NE(Message(parsed.status()).find("nested too deeply"),
              std::string_view::npos)
        << query.substr(0, 20) << ": " << Message(parsed.status());
  }
  EXPECT_TRUE(
      ParseExpr(Repeat("(", kHeightMax - 1) + "1" + Repeat(")", kHeightMax - 1))
          .ok());
  EXPECT_TRUE(ParseExpr("a" + Repeat("+a", kHeightMax - 1)).ok());
}

TEST(ParserTest, BoundsTheLength) {
  EXPECT_TRUE(ParseExpr("a" + std::string(kQueryBytesMax - 1, ' ')).ok());
  EXPECT_FALSE(ParseExpr("a" + std::string(kQueryBytesMax, ' ')).ok());
}

TEST(ParserTest, PositionsAndMatching) {
  const auto parsed = ParseExpr("foo == on(a) group_left (b) sum by (c) (bar)");
  ASSERT_TRUE(parsed.ok());
  const auto& binary = As<BinaryExpr>(**parsed);
  EXPECT_EQ(binary.position, (PositionRange{0, 44}));
  EXPECT_EQ(binary.op_position, (PositionRange{4, 6}));
  EXPECT_EQ(binary.rhs->position, (PositionRange{28, 44}));
  ASSERT_TRUE(binary.matching.has_value());
  EXPECT_EQ(binary.matching->card, Cardinality::kManyToOne);
  EXPECT_EQ(binary.matching->include, std::vector<std::string>{"b"});
  const auto scalar = ParseExpr("foo == 1");
  ASSERT_TRUE(scalar.ok());
  EXPECT_FALSE(As<BinaryExpr>(**scalar).matching.has_value());
  const auto set = ParseExpr("foo and bar");
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(As<BinaryExpr>(**set).matching->card, Cardinality::kManyToMany);
}

TEST(ParserTest, Times) {
  const auto parsed = ParseExpr("foo[1.5:250ms] @ -1.5 offset -1h");
  ASSERT_TRUE(parsed.ok());
  const auto& subquery = As<SubqueryExpr>(**parsed);
  EXPECT_EQ(subquery.range_ms, 1500);
  EXPECT_EQ(subquery.step_ms, 250);
  EXPECT_EQ(subquery.shift.at_ms, -1500);
  EXPECT_EQ(subquery.shift.anchor, AtAnchor::kTimestamp);
  EXPECT_EQ(subquery.shift.offset_ms, -3600000);
}

TEST(ParserTest, MetricSelector) {
  const auto matchers = ParseMetricSelector("up{job=~\"a.*\"}");
  ASSERT_TRUE(matchers.ok());
  ASSERT_EQ(matchers->size(), 2);
  EXPECT_EQ((*matchers)[0].ToString(), "job=~\"a.*\"");
  EXPECT_EQ((*matchers)[1].ToString(), "__name__=\"up\"");
  EXPECT_TRUE(ParseMetricSelector("{}").ok());
  const Case kRefused[] = {
      {"", "unknown position: parse error: unexpected end of input"},
      {"foo bar", "1:5: parse error: unexpected identifier \"bar\""},
      {"rate(foo[5m])", "1:5: parse error: unexpected \"(\""},
      {"1", "1:1: parse error: unexpected number \"1\""},
  };
  for (const Case& c : kRefused) {
    const auto refused = ParseMetricSelector(c.query);
    ASSERT_FALSE(refused.ok()) << c.query;
    EXPECT_EQ(Message(refused.status()), c.error);
  }
}

TEST(ParserTest, Durations) {
  const std::pair<std::string, int64_t> kDurations[] = {
      {"0", 0},       {"15s", 15000},        {"1h30m", 5400000},
      {"250ms", 250}, {"1y", 31536000000LL}, {"2w3d", 1468800000},
  };
  for (const auto& [text, ms] : kDurations) {
    const auto parsed = ParseDuration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, ms) << text;
  }
  for (const auto* text : {"", "1", "5", "s", "1m1h", "1m1m", "1x", "-1m",
                           "1 m", "300y", "99999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(5400000), "1h30m");
  EXPECT_EQ(FormatDuration(90 * 86400000LL), "90d");
  EXPECT_EQ(FormatDuration(14 * 86400000LL), "2w");
  EXPECT_EQ(FormatDuration(-1001), "-1s1ms");
}

TEST(ParserTest, FormatsPositions) {
  EXPECT_EQ(FormatPosition("abc", 0), "1:1");
  EXPECT_EQ(FormatPosition("a\n\nbc", 4), "3:2");
  EXPECT_EQ(FormatPosition("", 0), "unknown position");
  EXPECT_EQ(FormatPosition("abc", 4), "invalid position");
}

/// The expression of an `eval` line; "" if the line is none.
std::string ExpressionOf(const std::string& line) {
  std::string rest = line;
  if (line.rfind("eval instant at ", 0) == 0) {
    rest = line.substr(16);
    return rest.substr(rest.find(' ') + 1);
  }
  if (line.rfind("eval range from ", 0) != 0) return "";
  rest = line.substr(line.find(" step ") + 6);
  return rest.substr(rest.find(' ') + 1);
}

// Every expression of Prometheus's own test scripts parses, and its canonical
// text parses to the same.
TEST(ParserTest, ConformanceScripts) {
  std::filesystem::path found;
  for (const std::string up : {"/..", "/../.."}) {
    const std::filesystem::path folder =
        VARVE_SOURCE_DIR + up + "/shared/conformance/promqltest";
    if (std::filesystem::exists(folder)) found = folder;
  }
  if (found.empty()) GTEST_SKIP() << "no conformance scripts here";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(found)) {
    if (entry.path().extension() != ".test") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      const std::string query = ExpressionOf(line);
      if (query.empty()) continue;
      ++count;
      const auto parsed = ParseExpr(query);
      if (!parsed.ok()) {
        ADD_FAILURE() << entry.path() << ": " << query << ": "
                      << Message(parsed.status());
        continue;
      }
      const std::string printed = ToString(**parsed);
      const auto again = ParseExpr(printed);
      ASSERT_TRUE(again.ok()) << printed;
      EXPECT_EQ(ToString(**again), printed);
    }
  }
  EXPECT_GT(count, 1000);
}

}  // namespace
}  // namespace varve::promql
