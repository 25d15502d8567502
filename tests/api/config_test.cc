#include "api/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "storage/status_macros.h"
#include "tests/support/test_directory.h"

namespace varve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Config Load(std::string_view text) {
  auto config = LoadConfigText(text, "/base", "p.yml");
  EXPECT_TRUE(config.ok()) << Message(config.status());
  return config.ok() ? *std::move(config) : Config();
}

std::string Error(std::string_view text) {
  return std::string(Message(LoadConfigText(text, "/base", "p.yml").status()));
}

// A file whose only job has these further lines (from line 3 on).
std::string Job(std::string_view lines) {
  return "scrape_configs:\n- job_name: a\n" + std::string(lines);
}

TEST(Config, AnEmptyFileHasPrometheusDefaults) {
  for (const char* text : {"", "# only a comment\n", "global:\n",
                           "global:\nscrape_configs:\nrule_files:\nalerting:\n"
                           "storage:\nremote_write:\nremote_read:\ntracing:\n"
                           "otlp:\nruntime:\nscrape_config_files:\n"}) {
    const Config config = Load(text);
    EXPECT_EQ(config.scrape_interval_ms, 60000) << text;
    EXPECT_EQ(config.scrape_timeout_ms, 10000);
    EXPECT_EQ(config.evaluation_interval_ms, 60000);
    EXPECT_TRUE(config.scrape_configs.empty());
    EXPECT_TRUE(config.notices.empty());
    EXPECT_EQ(config.out_of_order_window_ms, std::nullopt);
  }
}

TEST(Config, JobsInheritFromGlobal) {
  const Config config = Load(R"(
global:
  scrape_interval: 15s
  sample_limit: 7
  body_size_limit: 1MB
  extra_scrape_metrics: true
scrape_configs:
- job_name: a
- job_name: b
  scrape_interval: 5s
  sample_limit: 9
  scheme: https
  metrics_path: /m
  params: {module: [x, y]}
)");
  ASSERT_EQ(config.scrape_configs.size(), 2u);
  const ScrapeConfig& a = config.scrape_configs[0];
  EXPECT_EQ(a.scrape_interval_ms, 15000);
  EXPECT_EQ(a.scrape_timeout_ms, 10000);
  EXPECT_EQ(a.sample_limit, 7u);
  EXPECT_EQ(a.body_size_limit, 1u << 20);
  EXPECT_TRUE(a.extra_scrape_metrics);
  EXPECT_EQ(a.metrics_path, "/metrics");
  const ScrapeConfig& b = config.scrape_configs[1];
  EXPECT_EQ(b.scrape_interval_ms, 5000);
  EXPECT_EQ(b.scrape_timeout_ms, 5000);  // no more than the interval
  EXPECT_EQ(b.sample_limit, 9u);
  EXPECT_EQ(b.scheme, "https");
  EXPECT_THAT(b.params.at("module"), ElementsAre("x", "y"));
}

TEST(Config, NullIsTheZeroValueAsInGo) {
  const Config config =
      Load(Job("  honor_timestamps:\n"
               "  relabel_configs:\n"
               "  - {source_labels: [x], target_label: y, replacement: }\n"));
  EXPECT_FALSE(config.scrape_configs[0].honor_timestamps);
  EXPECT_EQ(config.scrape_configs[0].relabel_configs[0].replacement, "");
}

TEST(Config, MergeKeysAndAnchors) {
  const Config config = Load(R"(
scrape_configs:
- &base
  job_name: a
  scrape_interval: 7s
  static_configs: [{targets: [a:1]}]
- <<: *base
  job_name: b
- <<: [{scrape_interval: 9s, scrape_timeout: 2s}, *base]
  job_name: c
)");
  ASSERT_EQ(config.scrape_configs.size(), 3u);
  EXPECT_EQ(config.scrape_configs[1].job_name, "b");
  EXPECT_EQ(config.scrape_configs[1].scrape_interval_ms, 7000);
  EXPECT_EQ(config.scrape_configs[1].static_configs.size(), 1u);
  EXPECT_EQ(config.scrape_configs[2].scrape_interval_ms, 9000);
  EXPECT_EQ(config.scrape_configs[2].scrape_timeout_ms, 2000);
}

TEST(Config, ExternalLabelsExpandTheEnvironment) {
  ::setenv("VARVE_TEST_REGION", "eu", 1);
  ::unsetenv("VARVE_TEST_NONE");
  const Config config = Load(R"(global:
  external_labels:
    a: x-${VARVE_TEST_REGION}-$VARVE_TEST_REGION
    b: $$5 $ 1
    c: z${VARVE_TEST_NONE}
    d: 1.50
)");
  EXPECT_EQ(config.external_labels.ToString(),
            R"({a="x-eu-eu", b="$5 $ 1", c="z", d="1.50"})");
  EXPECT_THAT(config.notices,
              ElementsAre("p.yml:2: environment variable VARVE_TEST_NONE in "
                          "external_labels is empty"));
}

TEST(Config, PathsAreJoinedWithTheDirectory) {
  const Config config = Load(Job(R"(  basic_auth:
    username: u
    password_file: secrets/pw
  tls_config: {ca_file: /abs/ca.pem}
  file_sd_configs: [{files: [t/*.json, x.yml]}]
)"));
  const ScrapeConfig& job = config.scrape_configs[0];
  EXPECT_EQ(job.http.basic_auth->password_file, "/base/secrets/pw");
  EXPECT_EQ(job.http.tls.ca_file, "/abs/ca.pem");
  EXPECT_THAT(job.file_sd_configs[0].files,
              ElementsAre("/base/t/*.json", "/base/x.yml"));
  EXPECT_EQ(job.file_sd_configs[0].refresh_interval_ms, 300000);
}

TEST(Config, BearerTokenIsAuthorization) {
  const Config config = Load(Job("  bearer_token: abc\n"));
  ASSERT_TRUE(config.scrape_configs[0].http.authorization.has_value());
  EXPECT_EQ(config.scrape_configs[0].http.authorization->type, "Bearer");
  EXPECT_EQ(config.scrape_configs[0].http.authorization->credentials, "abc");
}

TEST(Config, StorageValues) {
  const Config config = Load(
      "storage:\n  tsdb: {out_of_order_time_window: 30m, retention: {time: "
      "15d, size: 512MB}}\n  exemplars: {max_exemplars: 5}\n");
  EXPECT_EQ(config.out_of_order_window_ms, 1800000);
  EXPECT_EQ(config.retention_ms, 15LL * 24 * 3600 * 1000);
  EXPECT_EQ(config.retention_bytes, 512u << 20);
  EXPECT_THAT(config.yaml, HasSubstr("    retention:\n      time: 15d\n"
                                     "      size: 512MiB\n"));
  EXPECT_EQ(config.max_exemplars, 5);
  EXPECT_EQ(Load("storage: {tsdb: {out_of_order_time_window: 0s}}")
                .out_of_order_window_ms,
            0);
}

TEST(Config, SectionsWithoutEffectAreNoticed) {
  const Config config = Load(R"(alerting:
  alertmanagers:
  - static_configs: [{targets: [am:9093]}]
    kubernetes_sd_configs: [{role: pod}]
tracing: {endpoint: x}
rule_files: [no/such/*.yml]
)");
  EXPECT_THAT(
      config.notices,
      ElementsAre("p.yml:6: rule_files: nothing matches /base/no/such/*.yml",
                  "p.yml:1: alerting has no effect: there are no alerting "
                  "rules",
                  "p.yml:5: tracing has no effect here"));
}

struct Bad {
  std::string text;
  std::string error;
};

TEST(Config, RefusesWithFileAndLine) {
  const std::vector<Bad> table = {
      {"global:\n  scrap_interval: 15s\n",
       "p.yml:2: unknown field \"scrap_interval\" in global"},
      {"foo: 1\nbar: 2\n",
       "p.yml:1: unknown field \"foo\" in the file\n"
       "p.yml:2: unknown field \"bar\" in the file"},
      {"global:\n  scrape_interval: 15\n",
       "p.yml:2: scrape_interval in global must be a duration such as 1m30s, "
       "not \"15\""},
      {"global:\n  scrape_interval: 15s\n  scrape_interval: 20s\n",
       "p.yml:3: \"scrape_interval\" was already set on line 2"},
      {"global:\n  scrape_interval: 5s\n  scrape_timeout: 6s\n",
       "p.yml:3: global scrape timeout greater than scrape interval"},
      {"global: [1]\n", "p.yml:1: global must be a mapping, not a list"},
      {"global:\n  external_labels: {\"\": x}\n",
       "p.yml:2: \"\" is not a valid label name"},
      {"- a\n", "p.yml:1: the file must be a mapping, not a list"},
      {"global:\n\tx: 1\n", ""},
      {"a: [1\n", ""},
      {"a: &x [*x]\n", "p.yml:1: an anchor's value contains itself"},
      {"a: b\n---\nc: d\n", "p.yml:3: a second document; only one is read"},
      {"a: \"\xff\"\n", "p.yml:1: not valid UTF-8"},
      {"remote_write:\n- url: http://x\n",
       "p.yml:1: remote_write is not supported yet"},
      {"global:\nremote_read:\n- url: http://x\n",
       "p.yml:2: remote_read is not supported yet"},
      {"scrape_configs:\n- scheme: http\n",
       "p.yml:2: scrape_configs[0]: job_name is empty"},
      {"scrape_configs:\n- ~\n", "p.yml:2: scrape_configs[0] is empty"},
      {"scrape_configs:\n- job_name: a\n- job_name: b\n- job_name: a\n",
       "p.yml:4: found multiple scrape configs with job name \"a\""},
      {Job("  scrape_interval: 5s\n  scrape_timeout: 6s\n"),
       "p.yml:4: scrape timeout greater than scrape interval for scrape config "
       "with job name \"a\""},
      {Job("  honor_labels: maybe\n"),
       "p.yml:3: honor_labels in scrape_configs[0] must be true or false, not "
       "\"maybe\""},
      {Job("  honor_labels: \"true\"\n"),
       "p.yml:3: honor_labels in scrape_configs[0] must be true or false, not "
       "\"true\""},
      {Job("  sample_limit: -1\n"),
       "p.yml:3: sample_limit in scrape_configs[0] must be a non-negative "
       "integer, not \"-1\""},
      {Job("  body_size_limit: 10\n"),
       "p.yml:3: body_size_limit in scrape_configs[0] must be a size with its "
       "unit such as 10MB, not \"10\""},
      {Job("  static_configs:\n  - targets: ['http://x']\n"),
       "p.yml:3: \"http://x\" is not a valid hostname"},
      {Job("  static_configs:\n  - target: [x]\n"),
       "p.yml:4: unknown field \"target\" in "
       "scrape_configs[0].static_configs[0]"},
      {Job("  kubernetes_sd_configs:\n  - role: pod\n"),
       "p.yml:3: kubernetes_sd_configs is not supported yet; static_configs "
       "and file_sd_configs are"},
      {Job("  foo_sd_configs: []\n"),
       "p.yml:3: unknown field \"foo_sd_configs\" in scrape_configs[0]"},
      {Job("  file_sd_configs:\n  - files: [a/*/b.yml]\n"),
       "p.yml:4: path name \"a/*/b.yml\" is not valid for file discovery"},
      {Job("  file_sd_configs:\n  - files: [a.txt]\n"),
       "p.yml:4: path name \"a.txt\" is not valid for file discovery"},
      {Job("  file_sd_configs:\n  - refresh_interval: 1m\n"),
       "p.yml:4: file service discovery config must contain at least one path "
       "name"},
      {Job("  oauth2: {client_id: x}\n"),
       "p.yml:3: oauth2 is not supported yet"},
      {Job("  proxy_url: http://p\n"),
       "p.yml:3: proxy_url is not supported yet"},
      {Job("  basic_auth: {username: u, password: p, password_file: f}\n"),
       "p.yml:3: at most one of basic_auth password & password_file must be "
       "configured"},
      {Job("  basic_auth: {username: u}\n  authorization: {credentials: x}\n"),
       "p.yml:4: at most one of basic_auth, oauth2 & authorization must be "
       "configured"},
      {Job("  authorization: {type: Basic}\n"),
       "p.yml:3: authorization type cannot be set to \"basic\", use "
       "\"basic_auth\" instead"},
      {Job("  bearer_token: a\n  bearer_token_file: b\n"),
       "p.yml:4: at most one of bearer_token & bearer_token_file must be "
       "configured"},
      {Job("  tls_config: {min_version: TLS99}\n"),
       "p.yml:3: unknown TLS version: TLS99"},
      {Job("  tls_config: {cert_file: c}\n"),
       "p.yml:3: exactly one of key or key_file must be configured when a "
       "client certificate is configured"},
      {Job("  http_headers: {Host: {values: [x]}}\n"),
       "p.yml:3: setting header \"Host\" is not allowed"},
      {Job("  http_headers: {X-A: {values: [\"a\\nb\"]}}\n"),
       "p.yml:3: header \"X-A\" has a line break in its value"},
      {Job("  scrape_protocols: [Foo]\n"),
       "p.yml:3: scrape_protocols: unknown scrape protocol Foo, supported: "
       "OpenMetricsText0.0.1, OpenMetricsText1.0.0, PrometheusText0.0.4, "
       "PrometheusText1.0.0"},
      {Job("  scrape_protocols: [PrometheusProto]\n"),
       "p.yml:3: scrape_protocols: PrometheusProto is not supported yet; the "
       "text protocols are"},
      {Job("  scrape_native_histograms: true\n"),
       "p.yml:3: scrape_native_histograms is not supported yet"},
      {Job("  metric_name_validation_scheme: foo\n"),
       "p.yml:3: metric_name_validation_scheme must be \"utf8\" or \"legacy\", "
       "not \"foo\""},
      {Job("  relabel_configs:\n  - action: hashmod\n"),
       "p.yml:4: scrape_configs[0].relabel_configs[0]: relabel configuration "
       "for hashmod requires non-zero modulus"},
      {Job("  metric_relabel_configs:\n  - {action: keep, regex: 'a('}\n"),
       "p.yml:4: scrape_configs[0].metric_relabel_configs[0]: error parsing "
       "regexp \"a(\": missing ): a("},
      {Job("  relabel_configs:\n  - {action: foo}\n"),
       "p.yml:4: unknown relabel action \"foo\""},
      {"alerting:\n  alertmanagers:\n  - {api_version: v1}\n",
       "p.yml:3: expected Alertmanager api version to be one of [v2] but got "
       "v1"},
      {"alerting:\n  foo: 1\n", "p.yml:2: unknown field \"foo\" in alerting"},
      {"storage:\n  tsdb: {retention: {size: 1XB}}\n",
       "p.yml:2: size in storage.tsdb.retention must be a size with its unit "
       "such as 10MB, not \"1XB\""},
      {"rule_files: ['a/*/b']\n", "p.yml:1: invalid rule file path \"a/*/b\""},
  };
  for (const Bad& bad : table) {
    const std::string error = Error(bad.text);
    EXPECT_NE(error, "") << bad.text;
    if (!bad.error.empty()) {
      EXPECT_EQ(error, bad.error) << bad.text;
    } else {
      EXPECT_THAT(error, ::testing::StartsWith("p.yml:")) << bad.text;
    }
  }
}

TEST(Config, SmallDocumentsCannotStandForHugeOnes) {
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    laughs += fmt::format("a{0}: &a{0} [", i);
    for (int k = 0; k < 10; ++k) laughs += fmt::format("*a{},", i - 1);
    laughs += "]\n";
  }
  EXPECT_THAT(Error(laughs), HasSubstr("more than 2000000 values"));
  const std::string deep(100000, '[');
  EXPECT_THAT(Error(deep), HasSubstr("p.yml:1: "));
  EXPECT_THAT(Error("x: " + std::string(100, '[') + std::string(100, ']')),
              HasSubstr("nested deeper than 64 levels"));
}

TEST(Config, RulesThatExistAreRefused) {
  const TestDirectory directory;
  const std::string& dir = directory.path();
  WriteTestFile(dir + "/a.rules", "groups: []\n");
  WriteTestFile(dir + "/p.yml", "global:\nrule_files:\n- '*.rules'\n");
  EXPECT_EQ(Message(LoadConfigFile(dir + "/p.yml").status()),
            dir +
                "/p.yml:2: rule_files: recording and alerting rules are not "
                "supported yet (" +
                dir + "/a.rules)");
}

TEST(Config, ScrapeConfigFiles) {
  const TestDirectory directory;
  const std::string& dir = directory.path();
  std::filesystem::create_directories(dir + "/jobs");
  WriteTestFile(dir + "/jobs/b.yml",
                "scrape_configs:\n- job_name: b\n  bearer_token_file: tok\n");
  WriteTestFile(
      dir + "/p.yml",
      "global: {scrape_interval: 3s}\nscrape_config_files: ['jobs/*.yml']\n"
      "scrape_configs:\n- job_name: a\n");
  const auto config = LoadConfigFile(dir + "/p.yml");
  ASSERT_TRUE(config.ok()) << Message(config.status());
  ASSERT_EQ(config->scrape_configs.size(), 2u);
  EXPECT_EQ(config->scrape_configs[1].job_name, "b");
  EXPECT_EQ(config->scrape_configs[1].scrape_interval_ms, 3000);
  EXPECT_EQ(config->scrape_configs[1].http.authorization->credentials_file,
            dir + "/jobs/tok");
  EXPECT_THAT(config->watch_patterns,
              ElementsAre(dir + "/p.yml", dir + "/jobs/*.yml"));
  EXPECT_THAT(config->yaml, Not(HasSubstr("job_name: b")));

  WriteTestFile(dir + "/jobs/c.yml", "scrape_configs:\n- job_name: a\n");
  EXPECT_EQ(Message(LoadConfigFile(dir + "/p.yml").status()),
            dir +
                "/jobs/c.yml:2: found multiple scrape configs with job name "
                "\"a\"");
  WriteTestFile(dir + "/jobs/c.yml", "scrape_configs:\nglobal: {}\n");
  EXPECT_EQ(Message(LoadConfigFile(dir + "/p.yml").status()),
            dir + "/jobs/c.yml:2: unknown field \"global\" in the file");
}

TEST(Config, AMissingFileIsNamed) {
  EXPECT_THAT(std::string(Message(LoadConfigFile("/no/such.yml").status())),
              HasSubstr("/no/such.yml"));
}

// The file of Debian's package prometheus, reproduced in its shape.
TEST(Config, DebiansStockFileLoads) {
  const Config config = Load(R"(# Sample config for Prometheus.

global:
  scrape_interval:     15s # Set the scrape interval to every 15 seconds.
  evaluation_interval: 15s
  external_labels:
      monitor: 'example'

alerting:
  alertmanagers:
  - static_configs:
    - targets: ['localhost:9093']

rule_files:
  # - "first_rules.yml"

scrape_configs:
  - job_name: 'prometheus'
    scrape_interval: 5s
    scrape_timeout: 5s
    static_configs:
      - targets: ['localhost:9090']

  - job_name: node
    static_configs:
      - targets: ['localhost:9100']
)");
  EXPECT_EQ(config.scrape_configs.size(), 2u);
  EXPECT_THAT(config.notices,
              ElementsAre("p.yml:9: alerting has no effect: there are no "
                          "alerting rules"));
}

TEST(Config, SectionsWithoutEffectAreShown) {
  const Config config = Load(R"(alerting:
  alertmanagers:
  - scheme: https
    basic_auth: {username: u, password: sekrit}
    timeout: 10s
    static_configs:
    - targets: ['a:1', "b:2"]
      labels: {x: "1"}
  - follow_redirects: false
runtime: {gogc: 50}
)");
  EXPECT_THAT(config.yaml, HasSubstr(R"(alerting:
  alertmanagers:
  - scheme: https
    basic_auth:
      username: u
      password: <secret>
    timeout: 10s
    static_configs:
    - targets:
      - a:1
      - b:2
      labels:
        x: "1"
  - follow_redirects: false
runtime:
  gogc: 50
)"));
  EXPECT_EQ(Load(config.yaml).yaml, config.yaml);
}

TEST(Config, TheYamlHidesSecretsAndLoadsAgain) {
  const Config config = Load(R"yaml(
global:
  external_labels: {b: "yes", a: 'x: y'}
scrape_configs:
- job_name: "yes"
  params: {q: ['{a="b"}']}
  basic_auth: {username: u, password: sekrit}
  http_headers: {X-A: {values: [v], secrets: [sekrit]}}
  relabel_configs:
  - {source_labels: [a, b], target_label: c, regex: "(.+);(.+)", separator: ";"}
  file_sd_configs: [{files: [x.json]}]
  static_configs: [{targets: [h:1], labels: {x: "1"}}, {targets: []}]
- job_name: b
  authorization: {credentials: sekrit}
storage: {tsdb: {out_of_order_time_window: 30m}}
)yaml");
  EXPECT_THAT(config.yaml, Not(HasSubstr("sekrit")));
  EXPECT_THAT(config.yaml, HasSubstr("password: <secret>"));
  EXPECT_THAT(config.yaml, HasSubstr("- job_name: \"yes\"\n"));
  EXPECT_THAT(config.yaml, HasSubstr("  - source_labels: [a, b]\n"));
  EXPECT_THAT(config.yaml, HasSubstr("  - targets: []\n"));
  const Config again = Load(config.yaml);
  EXPECT_EQ(again.yaml, config.yaml);
}

}  // namespace
}  // namespace varve
