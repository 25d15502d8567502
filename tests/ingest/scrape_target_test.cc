#include "ingest/scrape_target.h"

#include <gtest/gtest.h>

#include "storage/status_macros.h"

namespace varve {
namespace {

ScrapeConfig Job() {
  ScrapeConfig config;
  config.job_name = "j";
  return config;
}

absl::StatusOr<std::optional<ScrapeTarget>> Make(const Labels& discovered,
                                                 const ScrapeConfig& config) {
  const auto rules = RelabelRules::Create(config.relabel_configs);
  EXPECT_TRUE(rules.ok());
  return MakeTarget(discovered, config, *rules);
}

ScrapeTarget Good(const Labels& discovered, const ScrapeConfig& config) {
  auto target = Make(discovered, config);
  EXPECT_TRUE(target.ok()) << Message(target.status());
  EXPECT_TRUE(target.ok() && target->has_value());
  return target.ok() && *target ? **target : ScrapeTarget();
}

std::string Error(const Labels& discovered, const ScrapeConfig& config) {
  return std::string(Message(Make(discovered, config).status()));
}

TEST(ScrapeTarget, DefaultsComeFromTheJob) {
  const ScrapeTarget target =
      Good(Labels{{"__address__", "host:9100"}, {"__meta_x", "y"}, {"a", "b"}},
           Job());
  EXPECT_EQ(target.labels.ToString(),
            R"({a="b", instance="host:9100", job="j"})");
  EXPECT_EQ(target.url, "http://host:9100/metrics");
  EXPECT_EQ(target.interval_ms, 60000);
  EXPECT_EQ(target.timeout_ms, 10000);
  EXPECT_EQ(
      target.discovered.ToString(),
      R"({__address__="host:9100", __meta_x="y", __metrics_path__="/metrics", __scheme__="http", __scrape_interval__="1m", __scrape_timeout__="10s", a="b", job="j"})");
}

TEST(ScrapeTarget, AnAddressWithoutPortStaysAsItIs) {
  const ScrapeTarget target = Good(Labels{{"__address__", "host"}}, Job());
  EXPECT_EQ(target.labels.Get("instance"), "host");
  EXPECT_EQ(target.url, "http://host/metrics");
}

TEST(ScrapeTarget, InternalLabelsDecideHowToScrape) {
  ScrapeConfig config = Job();
  config.params = {{"module", {"a", "b"}}, {"x", {"1 2&"}}};
  const ScrapeTarget target = Good(Labels{{"__address__", "h:1"},
                                          {"__scheme__", "https"},
                                          {"__metrics_path__", "p q"},
                                          {"__param_module", "c"},
                                          {"__param_new", "d"},
                                          {"__scrape_interval__", "30s"},
                                          {"__scrape_timeout__", "5s"},
                                          {"instance", "mine"},
                                          {"job", "own"}},
                                   config);
  EXPECT_EQ(target.url, "https://h:1/p%20q?module=c&module=b&new=d&x=1+2%26");
  EXPECT_EQ(target.interval_ms, 30000);
  EXPECT_EQ(target.timeout_ms, 5000);
  EXPECT_EQ(target.labels.ToString(), R"({instance="mine", job="own"})");
}

TEST(ScrapeTarget, RelabellingCanDropOrMoveIt) {
  ScrapeConfig config = Job();
  config.relabel_configs = {
      {.source_labels = {"__address__"}, .target_label = "__param_target"},
      {.source_labels = {"__param_target"}, .target_label = "instance"},
      {.target_label = "__address__", .replacement = "blackbox:9115"}};
  const ScrapeTarget target = Good(Labels{{"__address__", "site"}}, config);
  EXPECT_EQ(target.url, "http://blackbox:9115/metrics?target=site");
  EXPECT_EQ(target.labels.Get("instance"), "site");

  config.relabel_configs = {{.source_labels = {"__address__"},
                             .regex = "s.*",
                             .action = RelabelAction::kDrop}};
  const auto dropped = Make(Labels{{"__address__", "site"}}, config);
  ASSERT_TRUE(dropped.ok());
  EXPECT_FALSE(dropped->has_value());
}

TEST(ScrapeTarget, RefusesWhatCannotBeScraped) {
  EXPECT_EQ(Error(Labels{{"a", "b"}}, Job()), "no address");
  EXPECT_EQ(Error(Labels{{"__address__", "http://x"}}, Job()),
            "\"http://x\" is not a valid hostname");
  EXPECT_EQ(Error(Labels{{"__address__", "user@x"}}, Job()),
            "\"user@x\" is not a valid hostname");
  EXPECT_EQ(Error(Labels{{"__address__", "x"}, {"__scheme__", "ftp"}}, Job()),
            "invalid scheme: \"ftp\"");
  EXPECT_EQ(
      Error(Labels{{"__address__", "x"}, {"__scrape_interval__", "1"}}, Job()),
      "error parsing scrape interval: not a valid duration string: \"1\"");
  EXPECT_EQ(
      Error(Labels{{"__address__", "x"}, {"__scrape_timeout__", "0s"}}, Job()),
      "scrape timeout cannot be 0");
  EXPECT_EQ(
      Error(Labels{{"__address__", "x"}, {"__scrape_timeout__", "2m"}}, Job()),
      "scrape timeout cannot be greater than scrape interval (\"2m\" > "
      "\"1m\")");
}

TEST(ScrapeTarget, TheHashTellsTargetsApart) {
  const uint64_t a = Good(Labels{{"__address__", "a"}}, Job()).hash;
  EXPECT_EQ(Good(Labels{{"__address__", "a"}}, Job()).hash, a);
  EXPECT_NE(Good(Labels{{"__address__", "b"}}, Job()).hash, a);
  EXPECT_NE(Good(Labels{{"__address__", "a"}, {"x", "y"}}, Job()).hash, a);
}

TEST(ScrapeTarget, GroupLabelsYieldToTheTargets) {
  EXPECT_EQ(JoinGroupLabels(Labels{{"a", "1"}}, Labels{{"a", "2"}, {"b", "3"}})
                .ToString(),
            R"({a="1", b="3"})");
}

TEST(ScrapeTarget, GlobalUrls) {
  EXPECT_EQ(GlobalUrl("http://localhost:1/x", "me"), "http://me:1/x");
  EXPECT_EQ(GlobalUrl("http://127.0.0.1/x", "me"), "http://me/x");
  EXPECT_EQ(GlobalUrl("http://[::1]:1/x", "me"), "http://me:1/x");
  EXPECT_EQ(GlobalUrl("http://localhosts:1/x", "me"), "http://localhosts:1/x");
  EXPECT_EQ(GlobalUrl("http://h:1/localhost", "me"), "http://h:1/localhost");
}

}  // namespace
}  // namespace varve
