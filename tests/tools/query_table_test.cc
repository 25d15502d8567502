#include "tools/query_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "api/varve.h"

namespace varve {
namespace {

using testing::HasSubstr;

std::string Shown(std::string_view body, QueryView view = QueryView::kTable) {
  const auto text = QueryText(body, view);
  return text.ok() ? *text : "error: " + std::string(Message(text.status()));
}

TEST(QueryTableTest, VectorsAreTables) {
  EXPECT_EQ(
      Shown(R"({"status":"success","data":{"resultType":"vector","result":[)"
            R"({"metric":{"__name__":"up","job":"a"},"value":[60,"1"]},)"
            R"({"metric":{},"histogram":[60.5,{"count":"3","sum":"4.5"}]}]},)"
            R"("warnings":["PromQL warning: x"]})"),
      "up{job=\"a\"}  60    1\n"
      "{}           60.5  count 3 sum 4.5\n"
      "PromQL warning: x\n");
}

TEST(QueryTableTest, ScalarsStringsAndLists) {
  EXPECT_EQ(Shown(R"({"status":"success","data":{"resultType":"scalar",)"
                  R"("result":[1,"2"]}})"),
            "2\n");
  EXPECT_EQ(Shown(R"({"status":"success","data":["a","b"]})"), "a\nb\n");
  EXPECT_EQ(Shown(R"({"status":"success","data":[{"__name__":"up"}]})"),
            "up\n");
}

TEST(QueryTableTest, RangesAreTablesOrPlots) {
  constexpr std::string_view kMatrix =
      R"({"status":"success","data":{"resultType":"matrix","result":[)"
      R"({"metric":{"__name__":"up"},"values":[[1,"0"],[2,"7"]]}]}})";
  EXPECT_EQ(Shown(kMatrix), "up  1  0\n    2  7\n");
  EXPECT_EQ(Shown(kMatrix, QueryView::kPlot),
            "series  last  range  \n"
            "up      7     0..7   ▁█\n");
}

TEST(QueryTableTest, ExplanationsAreTrees) {
  EXPECT_EQ(Shown(R"({"status":"success","data":{"explanation":{)"
                  R"x("operator":"aggregation","text":"sum(up)","cost":{)x"
                  R"("timeSeconds":0.5,"series":1,"samples":2,"bytes":30},)"
                  R"("inputs":[{"operator":"selector","text":"up",)"
                  R"("details":["offset=5ms"]}]}}})"),
            "time        series  samples  bytes  \n"
            "500.000 ms  1       2        30     aggregation  sum(up)\n"
            "                                      selector  up  offset=5ms\n");
}

TEST(QueryTableTest, ErrorsSayWhatTheServerSays) {
  EXPECT_EQ(Shown(R"({"status":"error","errorType":"x","error":"no"})"),
            "error: no");
  EXPECT_THAT(Shown("<html>"), HasSubstr("no answer of the Prometheus API"));
}

TEST(QueryTableTest, Sparklines) {
  EXPECT_EQ(Sparkline({1, 2, 3, 4, 5, 6, 7, 8}, 60), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(Sparkline({0, 1, 0, 1}, 2), "██");
  EXPECT_EQ(Sparkline({5, std::nan(""), 5}, 60), "▁ ▁");
  EXPECT_EQ(Sparkline({}, 60), "");
}

}  // namespace
}  // namespace varve
