#include <gtest/gtest.h>

#include "api/varve.h"

namespace varve {
namespace {

struct Case {
  std::string query;
  std::string tree;
};

// FOO and BAR in a tree stand for the selectors of these names.
std::string Expanded(std::string tree) {
  for (const std::string name : {"foo", "bar"}) {
    std::string upper = name == "foo" ? "FOO" : "BAR";
    for (size_t at = 0; (at = tree.find(upper, at)) != std::string::npos;) {
      tree.replace(
          at, 3,
          fmt::format(
              R"({{"matchers":[{{"name":"__name__","type":"=","value":"{0}"}}],)"
              R"("name":"{0}","offset":0,"startOrEnd":null,)"
              R"("timestamp":null,"type":"vectorSelector"}})",
              name));
    }
  }
  return tree;
}

// As Prometheus 3.5.3 answers.
TEST(QueryTree, AsPrometheus) {
  const Case cases[] = {
      {R"(1)", R"json({"type":"numberLiteral","val":"1"})json"},
      {R"("a\"b")", R"json({"type":"stringLiteral","val":"a\"b"})json"},
      {R"(Inf)", R"json({"type":"numberLiteral","val":"+Inf"})json"},
      {R"(foo)", R"json(FOO)json"},
      {R"(foo{a="b",c!~"d.*"} offset 5m)",
       R"json({"matchers":[{"name":"a","type":"=","value":"b"},{"name":"c","type)json"
       R"json(":"!~","value":"d.*"},{"name":"__name__","type":"=","value":"foo"})json"
       R"json(],"name":"foo","offset":300000,"startOrEnd":null,"timestamp":null,)json"
       R"json("type":"vectorSelector"})json"},
      {R"({__name__="foo",x=""})",
       R"json({"matchers":[{"name":"__name__","type":"=","value":"foo"},{"name":)json"
       R"json("x","type":"=","value":""}],"name":"","offset":0,"startOrEnd":null)json"
       R"json(,"timestamp":null,"type":"vectorSelector"})json"},
      {R"(foo @ 123.456)",
       R"json({"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":)json"
       R"json("foo","offset":0,"startOrEnd":null,"timestamp":123456,"type":"vect)json"
       R"json(orSelector"})json"},
      {R"(foo @ start() offset -1h)",
       R"json({"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":)json"
       R"json("foo","offset":-3600000,"startOrEnd":"start","timestamp":null,"typ)json"
       R"json(e":"vectorSelector"})json"},
      {R"(rate(foo{a="b"}[5m] @ end()))",
       R"json({"args":[{"matchers":[{"name":"a","type":"=","value":"b"},{"name":)json"
       R"json("__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"ran)json"
       R"json(ge":300000,"startOrEnd":"end","timestamp":null,"type":"matrixSelec)json"
       R"json(tor"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"v)json"
       R"json(ector","variadic":0},"type":"call"})json"},
      {R"(rate(foo[5m])[1h:1m] offset 3s)",
       R"json({"expr":{"args":[{"matchers":[{"name":"__name__","type":"=","value)json"
       R"json(":"foo"}],"name":"foo","offset":0,"range":300000,"startOrEnd":null)json"
       R"json(,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["m)json"
       R"json(atrix"],"name":"rate","returnType":"vector","variadic":0},"type":")json"
       R"json(call"},"offset":3000,"range":3600000,"startOrEnd":null,"step":6000)json"
       R"json(0,"timestamp":null,"type":"subquery"})json"},
      {R"(max_over_time(foo[1h:]))",
       R"json({"args":[{"expr":FOO,"offset":0,"range":3600000,"startOrEnd":null,)json"
       R"json("step":0,"timestamp":null,"type":"subquery"}],"func":{"argTypes":[)json"
       R"json("matrix"],"name":"max_over_time","returnType":"vector","variadic":)json"
       R"json(0},"type":"call"})json"},
      {R"(sum by (a, b) (foo))",
       R"json({"expr":FOO,"grouping":["a","b"],"op":"sum","param":null,"type":"a)json"
       R"json(ggregation","without":false})json"},
      {R"(sum(foo))",
       R"json({"expr":FOO,"grouping":[],"op":"sum","param":null,"type":"aggregat)json"
       R"json(ion","without":false})json"},
      {R"(topk(5, foo))",
       R"json({"expr":FOO,"grouping":[],"op":"topk","param":{"type":"numberLiter)json"
       R"json(al","val":"5"},"type":"aggregation","without":false})json"},
      {R"(quantile by (x) (0.5, foo))",
       R"json({"expr":FOO,"grouping":["x"],"op":"quantile","param":{"type":"numb)json"
       R"json(erLiteral","val":"0.5"},"type":"aggregation","without":false})json"},
      {R"(foo + on(a) group_left(b, c) bar)",
       R"json({"bool":false,"lhs":FOO,"matching":{"card":"many-to-one","include")json"
       R"json(:["b","c"],"labels":["a"],"on":true},"op":"+","rhs":BAR,"type":"bi)json"
       R"json(naryExpr"})json"},
      {R"(foo * ignoring(a) group_right bar)",
       R"json({"bool":false,"lhs":FOO,"matching":{"card":"one-to-many","include")json"
       R"json(:[],"labels":["a"],"on":false},"op":"*","rhs":BAR,"type":"binaryEx)json"
       R"json(pr"})json"},
      {R"(foo and on() bar)",
       R"json({"bool":false,"lhs":FOO,"matching":{"card":"many-to-many","include)json"
       R"json(":[],"labels":[],"on":true},"op":"and","rhs":BAR,"type":"binaryExp)json"
       R"json(r"})json"},
      {R"(foo unless bar)",
       R"json({"bool":false,"lhs":FOO,"matching":{"card":"many-to-many","include)json"
       R"json(":[],"labels":[],"on":false},"op":"unless","rhs":BAR,"type":"binar)json"
       R"json(yExpr"})json"},
      {R"(foo == bool 1)",
       R"json({"bool":true,"lhs":FOO,"matching":null,"op":"==","rhs":{"type":"nu)json"
       R"json(mberLiteral","val":"1"},"type":"binaryExpr"})json"},
      {R"(1 + 2 * 3)",
       R"json({"bool":false,"lhs":{"type":"numberLiteral","val":"1"},"matching":)json"
       R"json(null,"op":"+","rhs":{"bool":false,"lhs":{"type":"numberLiteral","v)json"
       R"json(al":"2"},"matching":null,"op":"*","rhs":{"type":"numberLiteral","v)json"
       R"json(al":"3"},"type":"binaryExpr"},"type":"binaryExpr"})json"},
      {R"(-foo)", R"json({"expr":FOO,"op":"-","type":"unaryExpr"})json"},
      {R"((foo))", R"json({"expr":FOO,"type":"parenExpr"})json"},
      {R"q(label_replace(foo, "a", "$1", "b", "(.*)"))q",
       R"json({"args":[FOO,{"type":"stringLiteral","val":"a"},{"type":"stringLit)json"
       R"json(eral","val":"$1"},{"type":"stringLiteral","val":"b"},{"type":"stri)json"
       R"json(ngLiteral","val":"(.*)"}],"func":{"argTypes":["vector","string","s)json"
       R"json(tring","string","string"],"name":"label_replace","returnType":"vec)json"
       R"json(tor","variadic":0},"type":"call"})json"},
      {R"(time())",
       R"json({"args":[],"func":{"argTypes":[],"name":"time","returnType":"scala)json"
       R"json(r","variadic":0},"type":"call"})json"},
      {R"(round(foo, 0.5))",
       R"json({"args":[FOO,{"type":"numberLiteral","val":"0.5"}],"func":{"argTyp)json"
       R"json(es":["vector","scalar"],"name":"round","returnType":"vector","vari)json"
       R"json(adic":1},"type":"call"})json"},
      {R"(day_of_month())",
       R"json({"args":[],"func":{"argTypes":["vector"],"name":"day_of_month","re)json"
       R"json(turnType":"vector","variadic":1},"type":"call"})json"},
      {R"(foo > bool bar)",
       R"json({"bool":true,"lhs":FOO,"matching":{"card":"one-to-one","include":[)json"
       R"json(],"labels":[],"on":false},"op":"\u003e","rhs":BAR,"type":"binaryEx)json"
       R"json(pr"})json"},
      {R"(info(foo, {x="y"}))",
       R"json({"args":[FOO,{"matchers":[{"name":"x","type":"=","value":"y"}],"na)json"
       R"json(me":"","offset":0,"startOrEnd":null,"timestamp":null,"type":"vecto)json"
       R"json(rSelector"}],"func":{"argTypes":["vector","vector"],"name":"info",)json"
       R"json("returnType":"vector","variadic":1},"type":"call"})json"},
      {R"({"quoted.name", a="b"})",
       R"json({"matchers":[{"name":"__name__","type":"=","value":"quoted.name"},)json"
       R"json({"name":"a","type":"=","value":"b"}],"name":"","offset":0,"startOr)json"
       R"json(End":null,"timestamp":null,"type":"vectorSelector"})json"},
      {R"(foo[5m])",
       R"json({"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":)json"
       R"json("foo","offset":0,"range":300000,"startOrEnd":null,"timestamp":null)json"
       R"json(,"type":"matrixSelector"})json"},
      {R"(0x1F)", R"json({"type":"numberLiteral","val":"31"})json"},
      {R"(NaN)", R"json({"type":"numberLiteral","val":"NaN"})json"},
  };
  for (const Case& c : cases) {
    const auto tree = QueryTree(c.query);
    ASSERT_TRUE(tree.ok()) << c.query << ": " << tree.status();
    EXPECT_EQ(*tree, Expanded(c.tree)) << c.query;
  }
}

TEST(QueryTree, WhatIsNewerIsThereOnlyWhenUsed) {
  EXPECT_EQ(*QueryTree("foo[5m] smoothed"),
            R"({"matchers":[{"name":"__name__","type":"=","value":"foo"}],)"
            R"("name":"foo","offset":0,"range":300000,"smoothed":true,)"
            R"("startOrEnd":null,"timestamp":null,"type":"matrixSelector"})");
  EXPECT_NE(
      QueryTree("foo[(step() + 5m)]")
          ->find(R"("rangeExpr":{"lhs":{"op":"step","type":"durationExpr",)"
                 R"("wrapped":false},"op":"+","rhs":{"type":"numberLiteral",)"
                 R"("val":"300"},"type":"durationExpr","wrapped":true})"),
      std::string::npos)
      << *QueryTree("foo[(step() + 5m)]");
}

TEST(QueryTree, SyntaxErrorsAreNamed) {
  EXPECT_EQ(Message(QueryTree("foo{").status()),
            "1:5: parse error: unexpected end of input inside braces");
}

}  // namespace
}  // namespace varve
