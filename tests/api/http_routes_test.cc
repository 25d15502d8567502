#include "api/http_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <thread>

#include "api/http_params.h"
#include "tests/support/fake_database.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

using testing::HasSubstr;
using testing::Not;

// Texts of answers here are those of Prometheus 3.5, unless they are our own.
class HttpRoutesTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int64_t t = 0; t <= 60000; t += 15000) {
      db_.map.Add({{"__name__", "up"}, {"job", "a"}}, t, 1);
      db_.map.Add({{"__name__", "up"}, {"job", "b<"}}, t,
                  static_cast<double>(t) / 7);
    }
    IntHistogram h;
    h.count = 3;
    h.sum = 4.5;
    h.positive_spans = {{0, 1}};
    h.positive_buckets = {3};
    db_.map.Add({{"__name__", "h"}}, 60000, Histogram(h));
    Start({});
  }
  void Start(HttpRoutesOptions options) {
    auto routes = HttpRoutes::Create(std::move(options));
    ASSERT_TRUE(routes.ok()) << Message(routes.status());
    routes_ = *std::move(routes);
    routes_->SetDatabase(&db_);
  }

  WebResponse Call(std::string method, std::string_view target,
                   HttpPairs headers = {}, std::string body = "") {
    WebRequest request;
    request.method = std::move(method);
    const size_t question = target.find('?');
    request.path = *PercentDecode(target.substr(0, question), false);
    request.body = std::move(body);
    ParseForm(request.body, &request.params, &request.params_error);
    if (question != std::string_view::npos) {
      ParseForm(target.substr(question + 1), &request.params,
                &request.params_error);
    }
    request.headers = std::move(headers);
    WebResponse response = routes_->Handle(request);
    while (response.more && response.more(&response.body)) {
    }
    return response;
  }
  std::string Get(std::string_view target) {
    WebResponse r = Call("GET", target);
    return fmt::format("{} {}", r.status, r.body);
  }
  static std::string HeaderOf(const WebResponse& r, std::string_view name) {
    for (const auto& [key, value] : r.headers) {
      if (key == name) return value;
    }
    return "(none)";
  }

  FakeDatabase db_;
  std::unique_ptr<HttpRoutes> routes_;
};

TEST_F(HttpRoutesTest, ListsAndCancelsARunningQuery) {
  EXPECT_EQ(Get("/api/v1/status/queries"),
            R"(200 {"status":"success","data":{"queries":[]}})");
  // Would sort some 20,000 values 43,200 times.
  WebResponse answer;
  std::thread query([this, &answer] {
    answer = Call("GET",
                  "/api/v1/query?time=60&query=sum_over_time(quantile_over_"
                  "time(0.5,vector(time())[6h:1s])[12h:1s])");
  });
  std::string list;
  while (list.find(R"("query":"sum_over_time(quantile)") == std::string::npos) {
    std::this_thread::yield();
    list = Get("/api/v1/status/queries");
  }
  EXPECT_THAT(list, HasSubstr(R"("path":"/api/v1/query","client":"")"));
  EXPECT_THAT(list, HasSubstr(R"("samples":)"));
  EXPECT_EQ(Call("POST", "/api/v1/status/queries/99/cancel").status, 404);
  EXPECT_EQ(Call("POST", "/api/v1/status/queries/x/cancel").status, 404);
  EXPECT_EQ(Call("GET", "/api/v1/status/queries/1/cancel").status, 405);
  const size_t id = list.find(R"("id":")") + 6;
  const std::string number = list.substr(id, list.find('"', id) - id);
  const WebResponse cancel =
      Call("POST", "/api/v1/status/queries/" + number + "/cancel");
  EXPECT_EQ(cancel.status, 200);
  query.join();
  EXPECT_EQ(answer.status, 499);
  EXPECT_THAT(answer.body, HasSubstr(R"("errorType":"canceled")"));
  EXPECT_EQ(Get("/api/v1/status/queries"),
            R"(200 {"status":"success","data":{"queries":[]}})");
}

TEST_F(HttpRoutesTest, ExplainsQueries) {
  EXPECT_EQ(Get("/api/v1/query?query=sum(up)&time=60&explain=1"),
            R"(200 {"status":"success","data":{"explanation":)"
            R"x({"operator":"aggregation","text":"sum(up)","inputs":[)x"
            R"({"operator":"selector","text":"up"}]}}})");
  const std::string analyzed =
      Get("/api/v1/query?query=sum(up)&time=60&explain=analyze");
  EXPECT_THAT(analyzed, HasSubstr(R"("cost":{"timeSeconds":)"));
  EXPECT_THAT(analyzed, HasSubstr(R"("series":2,"samples":10,"bytes":)"));
  EXPECT_THAT(Get("/api/v1/query?query=sum(&explain=1"), HasSubstr("400 "));
}

TEST_F(HttpRoutesTest, QueriesAreLogged) {
  MemoryFileSystem fs;
  HttpRoutesOptions options;
  options.fs = &fs;
  Start(std::move(options));
  ASSERT_TRUE(fs.CreateDir("/d").ok());
  Get("/api/v1/query?query=up&time=60");
  EXPECT_FALSE(*fs.Exists("/d/log"));
  db_.query_log = {"/d/log", 1};
  Get("/api/v1/query?query=up&time=60");
  Get("/api/v1/query?query=)");
  auto file = fs.OpenRandomAccess("/d/log");
  ASSERT_TRUE(file.ok());
  std::string text(*(*file)->Size(), '\0');
  ASSERT_TRUE((*file)->ReadExactly(0, std::span<char>(text)).ok());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, HasSubstr(R"("params":{"query":"up",)"
                              R"("start":"1970-01-01T00:01:00.000Z")"));
  EXPECT_THAT(text, HasSubstr(R"("totalQueryableSamples":2)"));
  EXPECT_THAT(text, HasSubstr(R"("error":"1:2: parse error)"));
}

constexpr std::string_view kBad =
    R"(400 {"status":"error","errorType":"bad_data","error":)";

TEST_F(HttpRoutesTest, InstantQueries) {
  EXPECT_EQ(Get("/api/v1/query?query=1%2B1&time=10"),
            R"(200 {"status":"success","data":{"resultType":"scalar",)"
            R"("result":[10,"2"]}})");
  EXPECT_EQ(Get("/api/v1/query?query=%22a%3C%22&time=1"),
            R"(200 {"status":"success","data":{"resultType":"string",)"
            R"("result":[1,"a\u003c"]}})");
  EXPECT_EQ(Get("/api/v1/query?query=1e21&time=10.5"),
            R"(200 {"status":"success","data":{"resultType":"scalar",)"
            R"("result":[10.5,"1000000000000000000000"]}})");
  EXPECT_EQ(Get("/api/v1/query?query=up&time=60.5"),
            R"(200 {"status":"success","data":{"resultType":"vector",)"
            R"("result":[{"metric":{"__name__":"up","job":"a"},)"
            R"("value":[60.500,"1"]},{"metric":{"__name__":"up","job":"b<"},)"
            R"("value":[60.500,"8571.42857142857"]}]}})");
  EXPECT_EQ(Get("/api/v1/query?query=h&time=60"),
            R"(200 {"status":"success","data":{"resultType":"vector",)"
            R"("result":[{"metric":{"__name__":"h"},"histogram":[60,)"
            R"({"count":"3","sum":"4.5","buckets":[[0,"0.5","1","3"]]}]}]}})");
  EXPECT_EQ(Get("/api/v1/query?query=up%7Bjob=%22a%22%7D[30s]&time=60"),
            R"(200 {"status":"success","data":{"resultType":"matrix",)"
            R"("result":[{"metric":{"__name__":"up","job":"a"},)"
            R"("values":[[45,"1"],[60,"1"]]}]}})");
  EXPECT_EQ(Get("/api/v1/query?query=nope&time=60"),
            R"(200 {"status":"success","data":{"resultType":"vector",)"
            R"("result":[]}})");
  EXPECT_EQ(Get("/api/v1/query?query=up&time=60&limit=1"),
            R"(200 {"status":"success","data":{"resultType":"vector",)"
            R"("result":[{"metric":{"__name__":"up","job":"a"},)"
            R"("value":[60,"1"]}]},)"
            R"("warnings":["results truncated due to limit"]})");
  EXPECT_THAT(Get("/api/v1/query?query=up&time=60&stats=all"),
              HasSubstr(R"("stats":{"timings":{"evalTotalTime":)"));
}

TEST_F(HttpRoutesTest, RangeQueries) {
  EXPECT_EQ(Get("/api/v1/query_range?query=up%7Bjob!=%22a%22%7D&start=0&end=30"
                "&step=15"),
            R"(200 {"status":"success","data":{"resultType":"matrix",)"
            R"("result":[{"metric":{"__name__":"up","job":"b<"},)"
            R"("values":[[0,"0"],[15,"2142.8571428571427"],)"
            R"([30,"4285.714285714285"]]}]}})");
  EXPECT_EQ(Get("/api/v1/query_range?query=1&start=1.2345&end=2.7&step=0.5"),
            R"(200 {"status":"success","data":{"resultType":"matrix",)"
            R"("result":[{"metric":{},"values":[[1.234,"1"],[1.734,"1"],)"
            R"([2.234,"1"]]}]}})");
  EXPECT_THAT(Get("/api/v1/query_range?query=h&start=60&end=60&step=1"),
              HasSubstr(R"("histograms":[[60,{"count":"3")"));
}

TEST_F(HttpRoutesTest, QueryErrors) {
  const auto bad = [](std::string_view text) {
    return fmt::format("{}\"{}\"}}", kBad, text);
  };
  EXPECT_EQ(Get("/api/v1/query"),
            bad("invalid parameter \\\"query\\\": unknown position: parse "
                "error: no expression found in input"));
  EXPECT_EQ(Get("/api/v1/query?query=1%2B&time=10"),
            bad("invalid parameter \\\"query\\\": 1:3: parse error: unexpected "
                "end of input"));
  EXPECT_EQ(Get("/api/v1/query?query=1&time=abc"),
            bad("invalid parameter \\\"time\\\": invalid time value for "
                "'time': cannot parse \\\"abc\\\" to a valid timestamp"));
  EXPECT_EQ(Get("/api/v1/query?query=1&timeout=abc"),
            bad("invalid parameter \\\"timeout\\\": cannot parse \\\"abc\\\" "
                "to a valid duration"));
  EXPECT_EQ(Get("/api/v1/query?query=1&lookback_delta=abc"),
            bad("error parsing lookback delta duration: cannot parse "
                "\\\"abc\\\" to a valid duration"));
  EXPECT_EQ(Get("/api/v1/query_range?query=up"),
            bad("invalid parameter \\\"start\\\": cannot parse \\\"\\\" to a "
                "valid timestamp"));
  EXPECT_EQ(Get("/api/v1/query_range?query=up&start=10&end=1&step=1"),
            bad("invalid parameter \\\"end\\\": end timestamp must not be "
                "before start time"));
  EXPECT_EQ(Get("/api/v1/query_range?query=up&start=0&end=1&step=0"),
            bad("invalid parameter \\\"step\\\": zero or negative query "
                "resolution step widths are not accepted. Try a positive "
                "integer"));
  EXPECT_THAT(Get("/api/v1/query_range?query=up&start=0&end=11000&step=1"),
              HasSubstr("200 "));
  EXPECT_EQ(Get("/api/v1/query_range?query=up&start=0&end=11001&step=1"),
            bad("exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"));
  EXPECT_EQ(Get("/api/v1/query_range?query=up[1m]&start=1&end=2&step=1"),
            bad("invalid parameter \\\"query\\\": invalid expression type "
                "\\\"range vector\\\" for range query, must be Scalar or "
                "instant Vector"));
  EXPECT_THAT(Get("/api/v1/query?query=up%2Bon()up&time=60"),
              HasSubstr(R"(422 {"status":"error","errorType":"execution",)"
                        R"("error":"found duplicate series)"));
  EXPECT_THAT(Get("/api/v1/query?query=up&timeout=0"),
              HasSubstr(R"(503 {"status":"error","errorType":"timeout")"));
}

TEST_F(HttpRoutesTest, AGoneClientCancels) {
  WebRequest request;
  request.method = "GET";
  request.path = "/api/v1/query";
  request.params = {{"query", "up"}};
  request.disconnect = std::make_shared<HttpDisconnect>();
  request.disconnect->Fire();
  const WebResponse r = routes_->Handle(request);
  EXPECT_EQ(r.status, 499);
  EXPECT_THAT(r.body, HasSubstr("\"canceled\""));
}

TEST_F(HttpRoutesTest, Series) {
  EXPECT_EQ(Get("/api/v1/series?match[]=up&start=0&end=60"),
            R"(200 {"status":"success","data":[{"__name__":"up","job":"a"},)"
            R"({"__name__":"up","job":"b<"}]})");
  EXPECT_EQ(Get("/api/v1/series?match[]=up&match[]=h&limit=1"),
            R"(200 {"status":"success","data":[{"__name__":"h"}],)"
            R"("warnings":["results truncated due to limit"]})");
  EXPECT_EQ(Get("/api/v1/series"),
            fmt::format("{}\"no match[] parameter provided\"}}", kBad));
  EXPECT_EQ(Get("/api/v1/series?match[]=%7Bjob=~%22.*%22%7D"),
            fmt::format("{}\"invalid parameter \\\"match[]\\\": match[] must "
                        "contain at least one non-empty matcher\"}}",
                        kBad));
  EXPECT_EQ(Get("/api/v1/series?match[]=up%7B"),
            fmt::format("{}\"invalid parameter \\\"match[]\\\": 1:4: parse "
                        "error: unexpected end of input inside braces\"}}",
                        kBad));
  EXPECT_EQ(Get("/api/v1/series?match[]=up&start=x"),
            fmt::format("{}\"invalid parameter \\\"start\\\": invalid time "
                        "value for 'start': cannot parse \\\"x\\\" to a valid "
                        "timestamp\"}}",
                        kBad));
  EXPECT_EQ(Get("/api/v1/series?match[]=%zz"),
            fmt::format("{}\"error parsing form values: invalid URL escape "
                        "\\\"%zz\\\"\"}}",
                        kBad));
}

TEST_F(HttpRoutesTest, Labels) {
  EXPECT_EQ(Get("/api/v1/labels"),
            R"(200 {"status":"success","data":["__name__","job"]})");
  EXPECT_EQ(Get("/api/v1/labels?match[]=h"),
            R"(200 {"status":"success","data":["__name__"]})");
  EXPECT_EQ(Get("/api/v1/labels?match[]=up%7B"),
            fmt::format("{}\"1:4: parse error: unexpected end of input inside "
                        "braces\"}}",
                        kBad));
  EXPECT_EQ(Get("/api/v1/label/job/values"),
            R"(200 {"status":"success","data":["a","b\u003c"]})");
  EXPECT_EQ(Get("/api/v1/label/U__job/values?match[]=up&limit=1"),
            R"(200 {"status":"success","data":["a"],)"
            R"("warnings":["results truncated due to limit"]})");
  EXPECT_EQ(Get("/api/v1/label/a%ff/values"),
            fmt::format("{}\"invalid label name: \\\"a\\\\xff\\\"\"}}", kBad));
  EXPECT_EQ(Get("/api/v1/label/a/b/values"), "404 404 page not found\n");
}

TEST_F(HttpRoutesTest, MetadataAndExemplars) {
  db_.metadata = {{"up", {"gauge", "", "Is it <up>?"}},
                  {"go_x", {"counter", "s", ""}}};
  EXPECT_EQ(
      Get("/api/v1/metadata"),
      R"(200 {"status":"success","data":{)"
      R"("go_x":[{"type":"counter","unit":"s","help":""}],)"
      R"("up":[{"type":"gauge","unit":"","help":"Is it \u003cup\u003e?"}])"
      R"(}})");
  EXPECT_EQ(Get("/api/v1/metadata?metric=nope"),
            R"(200 {"status":"success","data":{}})");
  EXPECT_EQ(Get("/api/v1/metadata?limit=0"),
            R"(200 {"status":"success","data":{}})");
  EXPECT_EQ(Get("/api/v1/metadata?limit=x"),
            fmt::format("{}\"limit must be a number\"}}", kBad));
  EXPECT_EQ(Get("/api/v1/query_exemplars?query=up"),
            R"(200 {"status":"success","data":[]})");
  db_.exemplars = {
      {{{"__name__", "m"}}, {{{{"trace", "x"}}, 6, 1600096945479}}}};
  EXPECT_EQ(Get("/api/v1/query_exemplars?query=m"),
            R"(200 {"status":"success","data":[{"seriesLabels":)"
            R"({"__name__":"m"},"exemplars":[{"labels":{"trace":"x"},)"
            R"("value":"6","timestamp":1600096945.479}]}]})");
  EXPECT_EQ(Get("/api/v1/query_exemplars?query=up&start=3&end=1"),
            fmt::format("{}\"end timestamp must not be before start "
                        "timestamp\"}}",
                        kBad));
}

TEST_F(HttpRoutesTest, Targets) {
  ActiveTarget t;
  t.discovered_labels = {{"__address__", "x:1"}, {"job", "j"}};
  t.labels = {{"instance", "x:1"}, {"job", "j"}};
  t.scrape_pool = "j";
  t.scrape_url = "http://x:1/metrics";
  t.global_url = t.scrape_url;
  t.last_scrape_ms = 1795447744972;
  t.last_scrape_duration_seconds = 0.010589424;
  t.health = TargetHealth::kUp;
  t.scrape_interval = "5s";
  t.scrape_timeout = "5s";
  db_.targets.active = {t};
  db_.targets.dropped_counts = {{"j", 0}};
  db_.targets.pools = {"j"};
  const std::string active =
      R"({"discoveredLabels":{"__address__":"x:1","job":"j"},)"
      R"("labels":{"instance":"x:1","job":"j"},"scrapePool":"j",)"
      R"("scrapeUrl":"http://x:1/metrics","globalUrl":"http://x:1/metrics",)"
      R"("lastError":"","lastScrape":"2026-11-23T15:29:04.972Z",)"
      R"("lastScrapeDuration":0.010589424,"health":"up",)"
      R"("scrapeInterval":"5s","scrapeTimeout":"5s"})";
  const std::string head =
      R"(200 {"status":"success","data":{"activeTargets":)";
  EXPECT_EQ(Get("/api/v1/targets"),
            head + "[" + active +
                R"(],"droppedTargets":[],"droppedTargetCounts":{"j":0}}})");
  EXPECT_EQ(Get("/api/v1/targets?state=Active&scrapePool=k"),
            head + R"([],"droppedTargets":[],"droppedTargetCounts":null}})");
  EXPECT_EQ(Get("/api/v1/targets?state=dropped"),
            head + R"([],"droppedTargets":[],"droppedTargetCounts":{"j":0}}})");
  EXPECT_EQ(Get("/api/v1/scrape_pools"),
            R"(200 {"status":"success","data":{"scrapePools":["j"]}})");
}

TEST_F(HttpRoutesTest, TargetsMetadata) {
  const std::string a =
      R"({"target":{"instance":"x","job":"j"},"metric":"a","type":"counter",)"
      R"("help":"Help of \"a\".","unit":""})";
  const std::string b =
      R"({"target":{"instance":"x","job":"j"},"metric":"b","type":"gauge",)"
      R"("help":"","unit":"s"})";
  const std::string other =
      R"({"target":{"instance":"y"},"metric":"b","type":"unknown",)"
      R"("help":"","unit":""})";
  db_.target_metadata = {
      {{{"instance", "x"}, {"job", "j"}},
       {{"a", {.type = "counter", .unit = "", .help = "Help of \"a\"."}},
        {"b", {.type = "gauge", .unit = "s", .help = ""}}}},
      {{{"instance", "y"}}, {{"b", {"unknown", "", ""}}}}};
  const auto answer = [&](std::string_view parameters) {
    return Get(fmt::format("/api/v1/targets/metadata?{}", parameters));
  };
  const std::string head = R"(200 {"status":"success","data":[)";
  EXPECT_EQ(answer(""), head + a + "," + b + "," + other + "]}");
  EXPECT_EQ(answer("metric=a"),
            head + R"({"target":{"instance":"x","job":"j"},"type":"counter",)"
                   R"("help":"Help of \"a\".","unit":""}]})");
  EXPECT_EQ(answer("match_target={job=\"j\"}"), head + a + "," + b + "]}");
  EXPECT_EQ(answer("match_target={job=\"k\"}"), head + "]}");
  EXPECT_EQ(answer("limit=1"), head + a + "," + b + "]}");
  EXPECT_EQ(answer("limit=0"), head + "]}");
  EXPECT_EQ(answer("limit=x"),
            fmt::format("{}\"limit must be a number\"}}", kBad));
  EXPECT_EQ(answer("match_target={"),
            fmt::format("{}\"invalid parameter \\\"match_target\\\": 1:2: "
                        "parse error: unexpected end of input inside "
                        "braces\"}}",
                        kBad));
}

TEST_F(HttpRoutesTest, Status) {
  db_.config.yaml = "global:\n  x: <y>\n";
  EXPECT_EQ(Get("/api/v1/status/config"),
            R"(200 {"status":"success","data":{"yaml":)"
            R"("global:\n  x: \u003cy\u003e\n"}})");
  EXPECT_EQ(Get("/api/v1/status/walreplay"),
            R"(200 {"status":"success","data":{"min":0,"max":0,"current":0}})");
  EXPECT_THAT(Get("/api/v1/status/buildinfo"),
              HasSubstr(R"("data":{"version":"3.14.0","revision":)"));
  db_.stats.head_series = 5;
  db_.cardinality.label_pairs = 7;
  db_.cardinality.series_by_metric = {{"up", 3}};
  EXPECT_EQ(Get("/api/v1/status/tsdb?limit=1"),
            R"(200 {"status":"success","data":{"headStats":{"numSeries":5,)"
            R"("numLabelPairs":7,"chunkCount":0,"minTime":0,"maxTime":0},)"
            R"("seriesCountByMetricName":[{"name":"up","value":3}],)"
            R"("labelValueCountByLabelName":[],)"
            R"("memoryInBytesByLabelName":[],)"
            R"("seriesCountByLabelValuePair":[]}})");
  EXPECT_EQ(Get("/api/v1/status/tsdb?limit=0"),
            fmt::format("{}\"limit must be a positive number\"}}", kBad));
  db_.config.retention = {.time_ms = int64_t{45} * 86400 * 1000,
                          .bytes = uint64_t{1536} << 20};
  EXPECT_THAT(Get("/api/v1/status/runtimeinfo"),
              HasSubstr(R"("storageRetention":"45d or 1536MiB")"));
  EXPECT_EQ(Get("/api/v1/rules"),
            R"(200 {"status":"success","data":{"groups":[]}})");
  EXPECT_EQ(Get("/api/v1/rules?type=foo"),
            fmt::format("{}\"invalid parameter \\\"type\\\": not supported "
                        "value \\\"foo\\\"\"}}",
                        kBad));
  EXPECT_EQ(Get("/api/v1/alerts"),
            R"(200 {"status":"success","data":{"alerts":[]}})");
  EXPECT_EQ(Get("/api/v1/format_query?query=1%2B1"),
            R"(200 {"status":"success","data":"1 + 1"})");
  EXPECT_EQ(
      Get("/api/v1/parse_query?query=1"),
      R"(200 {"status":"success","data":{"type":"numberLiteral","val":"1"}})");
  EXPECT_EQ(Get("/api/v1/parse_query"),
            fmt::format("{}\"invalid parameter \\\"query\\\": unknown "
                        "position: parse error: no expression found in "
                        "input\"}}",
                        kBad));
}

TEST_F(HttpRoutesTest, MethodsAndUnknownPaths) {
  EXPECT_EQ(Get("/nope"), "404 404 page not found\n");
  EXPECT_EQ(Get("/api/v1/nope"), "404 404 page not found\n");
  WebResponse r = Call("DELETE", "/api/v1/query?query=1");
  EXPECT_EQ(r.status, 405);
  EXPECT_EQ(r.body, "Method Not Allowed\n");
  EXPECT_EQ(HeaderOf(r, "Allow"), "GET, OPTIONS, POST");
  EXPECT_EQ(HeaderOf(Call("POST", "/-/healthy"), "Allow"),
            "GET, HEAD, OPTIONS");
  r = Call("OPTIONS", "/api/v1/query", {{"Origin", "http://x"}});
  EXPECT_EQ(r.status, 204);
  EXPECT_EQ(HeaderOf(r, "Access-Control-Allow-Origin"), "http://x");
  EXPECT_EQ(HeaderOf(r, "Vary"), "Origin");
  EXPECT_EQ(Call("OPTIONS", "/nope").status, 404);
}

TEST_F(HttpRoutesTest, CorsFollowsItsRegex) {
  HttpRoutesOptions options;
  options.cors_origin = "https?://good\\.com";
  Start(options);
  const auto origin = [&](std::string from) {
    return HeaderOf(Call("GET", "/api/v1/labels", {{"Origin", from}}),
                    "Access-Control-Allow-Origin");
  };
  EXPECT_EQ(origin("https://good.com"), "https://good.com");
  EXPECT_EQ(origin("https://good.com.evil"), "(none)");
  options.cors_origin = "(";
  EXPECT_FALSE(HttpRoutes::Create(options).ok());
}

TEST_F(HttpRoutesTest, WriteGivesTheReceiversAnswer) {
  WebResponse r = Call("POST", "/api/v1/write", {}, "bytes");
  EXPECT_EQ(r.status, 204);
  EXPECT_EQ(db_.last_body, "bytes");
  db_.write_answer = {400, "snappy: corrupt input", {}};
  r = Call("POST", "/api/v1/write", {}, "x");
  EXPECT_EQ(r.status, 400);
  EXPECT_EQ(r.body, "snappy: corrupt input\n");
  EXPECT_EQ(Call("GET", "/api/v1/write").status, 405);
}

TEST_F(HttpRoutesTest, LifecycleAndAdminNeedTheirFlags) {
  EXPECT_EQ(Get("/-/reload"), "405 Only POST or PUT requests allowed");
  EXPECT_EQ(Call("POST", "/-/reload").body, "Lifecycle API is not enabled.");
  EXPECT_EQ(Call("POST", "/-/quit").status, 403);
  for (const char* what :
       {"flush", "snapshot", "delete_series", "clean_tombstones"}) {
    const WebResponse r =
        Call("POST", fmt::format("/api/v1/admin/tsdb/{}", what));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(r.body, R"({"status":"error","errorType":"unavailable",)"
                      R"("error":"admin APIs disabled"})");
  }
  bool quit = false;
  HttpRoutesOptions options;
  options.enable_lifecycle = true;
  options.enable_admin_api = true;
  options.quit = [&] { quit = true; };
  Start(options);
  EXPECT_EQ(Call("POST", "/-/reload").status, 200);
  db_.reload_status = absl::InvalidArgumentError("x.yml:3: bad");
  WebResponse r = Call("PUT", "/-/reload");
  EXPECT_EQ(r.status, 500);
  EXPECT_EQ(r.body, "failed to reload config: x.yml:3: bad\n");
  EXPECT_EQ(Call("POST", "/api/v1/admin/tsdb/flush").status, 204);
  const std::string snapshot = "/api/v1/admin/tsdb/snapshot";
  EXPECT_EQ(Get(snapshot), "405 Method Not Allowed\n");
  EXPECT_EQ(Call("POST", snapshot).body,
            R"({"status":"success","data":{"name":"everything"}})");
  EXPECT_EQ(Call("PUT", snapshot + "?skip_head=true").body,
            R"({"status":"success","data":{"name":"blocks"}})");
  r = Call("POST", snapshot + "?skip_head=x");
  EXPECT_EQ(r.status, 400);
  EXPECT_THAT(r.body, HasSubstr(R"(invalid parameter \"skip_head\": unable to )"
                                R"(parse boolean strconv.ParseBool: parsing )"
                                R"(\"x\": invalid syntax)"));
  EXPECT_EQ(Call("POST", "/-/quit").status, 200);
  EXPECT_TRUE(quit);
}

// As a Prometheus 3.5.3 answers.
TEST_F(HttpRoutesTest, DeletesAsPrometheusDoes) {
  HttpRoutesOptions options;
  options.enable_admin_api = true;
  Start(options);
  const std::string path = "/api/v1/admin/tsdb/delete_series";
  const auto bad = [&](std::string_view query, std::string_view text) {
    const WebResponse r = Call("POST", fmt::format("{}?{}", path, query));
    EXPECT_EQ(r.status, 400);
    EXPECT_EQ(r.body,
              fmt::format(R"({{"status":"error","errorType":"bad_data",)"
                          R"("error":"{}"}})",
                          text));
  };
  bad("", "no match[] parameter provided");
  bad("match[]=up{",
      R"(invalid parameter \"match[]\": 1:4: parse error: unexpected end of )"
      R"(input inside braces)");
  bad("match[]=nothing&match[]=sum(up)",
      R"(invalid parameter \"match[]\": 1:4: parse error: unexpected \"(\")");
  bad("match[]=up&start=x",
      R"(invalid parameter \"start\": invalid time value for 'start': cannot )"
      R"(parse \"x\" to a valid timestamp)");
  bad("match[]=up&end=x",
      R"(invalid parameter \"end\": invalid time value for 'end': cannot )"
      R"(parse \"x\" to a valid timestamp)");
  EXPECT_EQ(Call("GET", path).status, 405);
  EXPECT_EQ(HeaderOf(Call("GET", path), "Allow"), "OPTIONS, POST, PUT");
  EXPECT_TRUE(db_.deletions.empty());

  const WebResponse r =
      Call("PUT", path + "?match[]=up&match[]={a%3D~\".*\"}&start=10&end=20.5");
  EXPECT_EQ(r.status, 204);
  EXPECT_EQ(r.body, "");
  ASSERT_EQ(db_.deletions.size(), 1u);
  EXPECT_EQ(SelectorsText(db_.deletions[0].first),
            "{__name__=\"up\"} | {a=~\".*\"}");
  EXPECT_EQ(db_.deletions[0].second, (TimeRange{10'000, 20'500}));
  EXPECT_EQ(Call("POST", path + "?match[]={}").status, 204);
  EXPECT_EQ(db_.deletions[1].second, (TimeRange{kApiTimeMin, kApiTimeMax}));

  EXPECT_EQ(Call("POST", "/api/v1/admin/tsdb/clean_tombstones").status, 204);
  EXPECT_EQ(db_.cleanings, 1);
  db_.delete_status = absl::DataLossError("blocks/1: damaged");
  EXPECT_EQ(Call("PUT", "/api/v1/admin/tsdb/clean_tombstones").status, 500);
}

TEST_F(HttpRoutesTest, WhileStarting) {
  const auto progress = std::make_shared<ReplayProgress>();
  HttpRoutesOptions options;
  options.progress = progress;
  Start(options);
  routes_->SetDatabase(nullptr);
  progress->segment_min = 3;
  progress->segment_max = 9;
  progress->segment = 5;
  progress->bytes_total = 1000;
  progress->bytes = 400;
  EXPECT_EQ(Get("/api/v1/status/walreplay"),
            R"(200 {"status":"success","data":{"min":3,"max":9,"current":5}})");
  EXPECT_THAT(Get("/metrics"),
              AllOf(HasSubstr("\nvarve_wal_replay_bytes 1000\n"),
                    HasSubstr("\nvarve_wal_replay_read_bytes 400\n")));
  EXPECT_EQ(Get("/-/healthy"), "200 varve is Healthy.\n");
  EXPECT_EQ(Get("/-/ready"), "503 Service Unavailable");
  EXPECT_THAT(Get("/api/v1/query?query=1"),
              HasSubstr("503 {\"status\":\"error\",\"errorType\":"
                        "\"unavailable\""));
  EXPECT_THAT(Get("/metrics"), HasSubstr("varve_ready 0"));
  EXPECT_THAT(Get("/"), HasSubstr("starting"));
  routes_->SetDatabase(&db_);
  EXPECT_EQ(Get("/-/ready"), "200 varve is Ready.\n");
}

TEST_F(HttpRoutesTest, RoutePrefix) {
  HttpRoutesOptions options;
  options.route_prefix = "/p";
  Start(options);
  EXPECT_THAT(Get("/p/api/v1/label/job/values"), HasSubstr("200 "));
  EXPECT_THAT(Get("/p/"), HasSubstr("/p/metrics"));
  EXPECT_EQ(Get("/api/v1/labels"), "404 404 page not found\n");
  EXPECT_EQ(Get("/px"), "404 404 page not found\n");
  EXPECT_EQ(HeaderOf(Call("GET", "/"), "Location"), "/p/");
}

TEST_F(HttpRoutesTest, Metrics) {
  Get("/api/v1/query?query=1");
  Get("/nope");
  db_.stats.head_series = 42;
  const std::string page = Get("/metrics");
  EXPECT_THAT(page, HasSubstr("\nvarve_head_series 42\n"));
  EXPECT_THAT(page, HasSubstr("# TYPE varve_build_info gauge"));
  EXPECT_THAT(page, HasSubstr("varve_http_requests_total{code=\"200\","
                              "handler=\"/api/v1/query\"} 1"));
  EXPECT_THAT(page, HasSubstr("handler=\"unknown\"} 1"));
  EXPECT_THAT(page, HasSubstr("process_resident_memory_bytes"));
  EXPECT_THAT(page, Not(HasSubstr("go_")));
}

}  // namespace
}  // namespace varve
