#include "ingest/scrape_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "storage/status_macros.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_db.h"
#include "tests/support/http_test_server.h"
#include "tests/support/test_directory.h"

namespace varve {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::StartsWith;

constexpr int64_t kInterval = 15000;

// A manager without threads on a clock that the tests move, and one server
// whose answer they set.
class ScrapeManagerTest : public testing::Test {
 protected:
  FakeDb db_;
  FakeClock clock_;
  Mutex mutex_;
  HttpTestServer::Response answer_;
  std::unique_ptr<HttpTestServer> server_ =
      HttpTestServer::Start([this](const HttpTestServer::Request&) {
        MutexLock lock(&mutex_);
        return answer_;
      });
  std::unique_ptr<ScrapeManager> manager_;
  ScrapeManagerOptions options_;

  ScrapeManagerTest() {
    answer_.body = "a 1\nb 2\n";
    options_.db = &db_;
    options_.clock = &clock_;
    options_.background = false;
    manager_ = ScrapeManager::Create(options_);
  }

  void Restart() { manager_ = ScrapeManager::Create(options_); }

  void Answer(std::string body, int code = 200) {
    MutexLock lock(&mutex_);
    answer_.body = std::move(body);
    answer_.code = code;
    answer_.reason = code == 200 ? "OK" : "Bad";
  }

  ScrapeConfig Job(const std::string& name = "j") const {
    ScrapeConfig config;
    config.job_name = name;
    config.scrape_interval_ms = kInterval;
    config.scrape_timeout_ms = 5000;
    TargetGroup group;
    group.source = "0";
    group.targets = {Labels{{"__address__", server_->address()}}};
    config.static_configs = {group};
    return config;
  }

  void Apply(const std::vector<ScrapeConfig>& configs) {
    const absl::Status status = manager_->ApplyConfig(configs, Labels());
    EXPECT_TRUE(status.ok()) << Message(status);
  }

  void Drain() {
    for (int i = 0; i < 1000 && manager_->Step(10) > 0; ++i) {
    }
  }

  // Moves the clock by one interval in small steps, scraping what gets due.
  void RunInterval() {
    for (int64_t t = 0; t < kInterval; t += 100) {
      clock_.Advance(100);
      if (manager_->Step(0) > 0) Drain();
    }
  }

  Labels Series(std::string_view metric, std::string_view job = "j") const {
    return Labels{
        {"__name__", metric}, {"instance", server_->address()}, {"job", job}};
  }
  // The values in time order: "1 1 stale".
  std::string Values(const Labels& labels) const {
    const FakeStore::Series* series = db_.store.Find(labels);
    if (series == nullptr) return "none";
    std::string out;
    for (const auto& [t, v] : series->floats) {
      out += out.empty() ? "" : " ";
      out += IsStaleNan(v) ? "stale" : fmt::to_string(v);
    }
    return out;
  }
  std::string Values(std::string_view metric) const {
    return Values(Series(metric));
  }
};

TEST_F(ScrapeManagerTest, ScrapesEveryInterval) {
  Apply({Job()});
  EXPECT_EQ(manager_->Targets().active[0].health, TargetHealth::kUnknown);
  for (int i = 0; i < 3; ++i) RunInterval();
  EXPECT_EQ(Values("a"), "1 1 1");
  EXPECT_EQ(Values("up"), "1 1 1");
  EXPECT_EQ(Values("scrape_samples_scraped"), "2 2 2");
  EXPECT_EQ(Values("scrape_samples_post_metric_relabeling"), "2 2 2");
  EXPECT_EQ(Values("scrape_series_added"), "2 0 0");
  EXPECT_EQ(Values("scrape_timeout_seconds"), "none");
  // Samples and reports of a scrape have one time, and intervals are exact.
  const auto& times = db_.store.Find(Series("a"))->floats;
  EXPECT_EQ(std::next(times.begin())->first - times.begin()->first, kInterval);
  EXPECT_EQ(db_.store.Find(Series("up"))->floats.begin()->first,
            times.begin()->first);
  EXPECT_EQ(db_.store.commits, 3);
  EXPECT_EQ(manager_->Stats().scrapes, 3);
}

TEST_F(ScrapeManagerTest, TellsTheTargetWhatItWants) {
  Apply({Job()});
  RunInterval();
  const auto headers = server_->requests()[0].headers;
  EXPECT_THAT(headers.at("accept"), HasSubstr("openmetrics-text"));
  EXPECT_EQ(headers.at("x-prometheus-scrape-timeout-seconds"), "5");
  EXPECT_EQ(headers.at("accept-encoding"), "gzip");
  EXPECT_EQ(headers.at("user-agent"), "varve");
  EXPECT_EQ(server_->requests()[0].target, "/metrics");
}

TEST_F(ScrapeManagerTest, ShowsTargets) {
  ScrapeConfig config = Job();
  config.relabel_configs = {{.source_labels = {"drop"},
                             .regex = "yes",
                             .action = RelabelAction::kDrop}};
  config.static_configs.push_back(
      {.source = "1",
       .targets = {Labels{{"__address__", "x"}}, Labels{{"__address__", "y"}}},
       .labels = Labels{{"drop", "yes"}}});
  config.keep_dropped_targets = 1;
  Apply({config});
  RunInterval();
  const TargetsView view = manager_->Targets();
  ASSERT_EQ(view.active.size(), 1u);
  const ActiveTarget& target = view.active[0];
  EXPECT_EQ(target.scrape_url, "http://" + server_->address() + "/metrics");
  EXPECT_EQ(target.labels,
            (Labels{{"instance", server_->address()}, {"job", "j"}}));
  EXPECT_EQ(target.discovered_labels.Get("__scrape_interval__"), "15s");
  EXPECT_EQ(target.health, TargetHealth::kUp);
  EXPECT_EQ(target.last_error, "");
  EXPECT_GT(target.last_scrape_ms, 0);
  EXPECT_EQ(target.scrape_interval, "15s");
  EXPECT_EQ(target.scrape_timeout, "5s");
  EXPECT_EQ(target.scrape_pool, "j");
  EXPECT_EQ(view.dropped.size(), 1u);
  EXPECT_EQ(view.dropped_counts[0], (std::pair<std::string, int64_t>("j", 2)));
}

TEST_F(ScrapeManagerTest, KnowsTheMetadataOfTargets) {
  Answer("# TYPE b gauge\nb 1\n# HELP a text\n# TYPE a counter\na 1\n");
  Apply({Job()});
  EXPECT_EQ(manager_->MetadataOfTargets().at(0).families.size(), 0u);
  RunInterval();
  const auto targets = manager_->MetadataOfTargets();
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_EQ(targets[0].labels.Get("job"), "j");
  ASSERT_EQ(targets[0].families.size(), 2u);
  EXPECT_EQ(targets[0].families[0].first, "a");
  EXPECT_EQ(targets[0].families[0].second.type, "counter");
  EXPECT_EQ(targets[0].families[0].second.help, "text");
  EXPECT_EQ(targets[0].families[1].first, "b");
}

TEST_F(ScrapeManagerTest, AFailingTargetIsDownAndItsSeriesEnd) {
  Apply({Job()});
  RunInterval();
  Answer("", 500);
  RunInterval();
  RunInterval();
  EXPECT_EQ(Values("up"), "1 0 0");
  EXPECT_EQ(Values("a"), "1 stale");
  EXPECT_EQ(Values("scrape_samples_scraped"), "2 0 0");
  EXPECT_EQ(manager_->Targets().active[0].last_error,
            "server returned HTTP status 500 Bad");
  EXPECT_EQ(manager_->Targets().active[0].health, TargetHealth::kDown);
  EXPECT_EQ(manager_->Stats().scrape_failures, 2);
  Answer("a 3\n");
  RunInterval();
  EXPECT_EQ(Values("up"), "1 0 0 1");
  EXPECT_EQ(Values("a"), "1 stale 3");
  EXPECT_EQ(Values("b"), "2 stale");
}

TEST_F(ScrapeManagerTest, AnEmptyAnswerIsAGoodScrapeOfNothing) {
  Apply({Job()});
  RunInterval();
  Answer("");
  RunInterval();
  EXPECT_EQ(Values("up"), "1 1");
  EXPECT_EQ(Values("a"), "1 stale");
}

TEST_F(ScrapeManagerTest, AHungTargetTimesOutAndOthersGoOn) {
  ScrapeConfig config = Job();
  {
    MutexLock lock(&mutex_);
    answer_.never = true;
  }
  const auto other = HttpTestServer::Start([](const HttpTestServer::Request&) {
    HttpTestServer::Response response;
    response.body = "c 1\n";
    return response;
  });
  // Real time: short for the one that hangs, ample for the other.
  config.scrape_timeout_ms = kInterval;
  config.static_configs[0].targets = {
      Labels{{"__address__", server_->address()},
             {"__scrape_timeout__", "100ms"}},
      Labels{{"__address__", other->address()}}};
  Apply({config});
  RunInterval();
  EXPECT_EQ(Values("up"), "0");
  EXPECT_EQ(
      Values(Labels{
          {"__name__", "c"}, {"instance", other->address()}, {"job", "j"}}),
      "1");
  EXPECT_THAT(manager_->Targets().active[0].last_error +
                  manager_->Targets().active[1].last_error,
              HasSubstr("context deadline exceeded"));
}

TEST_F(ScrapeManagerTest, ExtraMetricsAndTheBodyLimit) {
  ScrapeConfig config = Job();
  config.extra_scrape_metrics = true;
  config.body_size_limit = 10;
  config.sample_limit = 7;
  Apply({config});
  RunInterval();
  EXPECT_EQ(Values("scrape_timeout_seconds"), "5");
  EXPECT_EQ(Values("scrape_sample_limit"), "7");
  EXPECT_EQ(Values("scrape_body_size_bytes"), "8");
  Answer("a 1\nb 22\nc 3\n");
  RunInterval();
  EXPECT_EQ(Values("scrape_body_size_bytes"), "8 -1");
  EXPECT_EQ(Values("up"), "1 0");
  EXPECT_EQ(manager_->Targets().active[0].last_error,
            "body size limit exceeded");
  EXPECT_EQ(manager_->Stats().body_size_limit_exceeded, 1);
}

TEST_F(ScrapeManagerTest, OverTheTargetLimitNothingIsScraped) {
  ScrapeConfig config = Job();
  config.target_limit = 1;
  config.static_configs[0].targets.push_back(Labels{{"__address__", "x:1"}});
  Apply({config});
  RunInterval();
  EXPECT_EQ(Values("up"), "0");
  EXPECT_EQ(Values("a"), "none");
  EXPECT_TRUE(server_->requests().empty());
  EXPECT_EQ(manager_->Targets().active[0].last_error,
            "target_limit exceeded (number of targets: 2, limit: 1)");
}

TEST_F(ScrapeManagerTest, ATargetThatGoesAwayEndsItsSeries) {
  Apply({Job()});
  RunInterval();
  Apply({});
  RunInterval();
  EXPECT_EQ(Values("a"), "1");  // it might come back
  RunInterval();
  RunInterval();
  EXPECT_EQ(Values("a"), "1 stale");
  EXPECT_EQ(Values("up"), "1 stale");
  EXPECT_EQ(Values("scrape_series_added"), "2 stale");
  const auto& times = db_.store.Find(Series("a"))->floats;
  // When the next scrape would have been; the test's clock moves by 100 ms.
  EXPECT_NEAR(static_cast<double>(times.rbegin()->first - times.begin()->first),
              kInterval, 100);
}

TEST_F(ScrapeManagerTest, ATargetThatComesBackGoesOn) {
  Apply({Job()});
  RunInterval();
  Apply({});
  Apply({Job()});
  for (int i = 0; i < 4; ++i) RunInterval();
  EXPECT_EQ(Values("a"), "1 1 1 1 1");
  EXPECT_EQ(Values("up"), "1 1 1 1 1");
}

TEST_F(ScrapeManagerTest, AReloadKeepsWhatItCan) {
  ScrapeConfig other = Job("other");
  Apply({Job(), other});
  RunInterval();
  // One job unchanged, one with another timeout: neither starts over.
  other.scrape_timeout_ms = 4000;
  Apply({Job(), other});
  RunInterval();
  EXPECT_EQ(Values("scrape_series_added"), "2 0");
  EXPECT_EQ(Values(Series("scrape_series_added", "other")), "2 0");
  // Another metric relabelling: what it drops ends, the rest goes on.
  other.metric_relabel_configs = {{.source_labels = {"__name__"},
                                   .regex = "b",
                                   .action = RelabelAction::kDrop}};
  Apply({Job(), other});
  for (int i = 0; i < 4; ++i) RunInterval();
  EXPECT_EQ(Values(Series("a", "other")), "1 1 1 1 1 1");
  EXPECT_EQ(Values(Series("up", "other")), "1 1 1 1 1 1");
  EXPECT_EQ(Values(Series("b", "other")), "2 2 stale");
  EXPECT_EQ(Values("b"), "2 2 2 2 2 2");
}

TEST_F(ScrapeManagerTest, ATargetThatGoesRightAfterAReloadEndsItsSeries) {
  ScrapeConfig config = Job();
  Apply({config});
  RunInterval();
  config.scrape_timeout_ms = 4000;  // takes the memory over, never scrapes
  Apply({config});
  Apply({});
  for (int i = 0; i < 3; ++i) RunInterval();
  EXPECT_EQ(Values("a"), "1 stale");
  EXPECT_EQ(Values("up"), "1 stale");
}

TEST_F(ScrapeManagerTest, AnInvalidConfigurationChangesNothing) {
  Apply({Job()});
  ScrapeConfig bad = Job("bad");
  bad.metric_relabel_configs = {
      {.regex = "a(", .action = RelabelAction::kKeep}};
  EXPECT_FALSE(manager_->ApplyConfig({bad}, Labels()).ok());
  RunInterval();
  EXPECT_EQ(Values("up"), "1");
  EXPECT_EQ(manager_->Targets().pools, std::vector<std::string>{"j"});
}

TEST_F(ScrapeManagerTest, FollowsTargetFiles) {
  const TestDirectory directory;
  const std::string file = directory / "t.yml";
  const auto write = [&](const std::string& text) {
    WriteTestFile(file, text);
  };
  write("- targets: ['" + server_->address() + "']\n  labels: {x: y}\n");
  ScrapeConfig config = Job();
  config.static_configs.clear();
  config.file_sd_configs = {{.files = {file}}};
  Apply({config});
  RunInterval();
  const Labels series{{"__name__", "a"},
                      {"instance", server_->address()},
                      {"job", "j"},
                      {"x", "y"}};
  EXPECT_EQ(Values(series), "1");
  EXPECT_EQ(
      manager_->Targets().active[0].discovered_labels.Get("__meta_filepath"),
      file);
  write("[]");
  for (int i = 0; i < 4; ++i) RunInterval();
  // The file is looked at every two seconds: a target that is due before that
  // (its port decides) is scraped once more.
  EXPECT_THAT(Values(series), AnyOf("1 stale", "1 1 stale"));
  EXPECT_TRUE(manager_->Targets().active.empty());
}

TEST_F(ScrapeManagerTest, ADatabaseThatCannotStoreIsReported) {
  Apply({Job()});
  db_.store.commit_status = ResourceExhausted("disk full");
  RunInterval();
  EXPECT_EQ(manager_->Targets().active[0].last_error, "disk full");
  EXPECT_EQ(manager_->Targets().active[0].health, TargetHealth::kDown);
  EXPECT_EQ(manager_->Stats().commit_failures, 1);
  db_.store.commit_status = absl::OkStatus();
  RunInterval();
  EXPECT_EQ(Values("up"), "1");
}

TEST_F(ScrapeManagerTest, AClockThatIsSetBackDoesNotStopScraping) {
  Apply({Job()});
  RunInterval();
  clock_.Advance(-3600 * 1000);
  // Two, since a target that is due right after the leap may miss the first.
  RunInterval();
  RunInterval();
  EXPECT_THAT(Values("up"), StartsWith("1 1"));
  clock_.Advance(7200 * 1000);  // and no burst after a leap ahead
  RunInterval();
  RunInterval();
  EXPECT_LE(server_->requests().size(), 6u);
}

TEST_F(ScrapeManagerTest, TargetsAreSpreadOverTheInterval) {
  ScrapeConfig config = Job();
  config.static_configs[0].targets.clear();
  for (int i = 0; i < 64; ++i) {
    config.static_configs[0].targets.push_back(
        Labels{{"__address__", server_->address()}, {"n", std::to_string(i)}});
  }
  Apply({config});
  size_t most = 0;
  for (int64_t t = 0; t < kInterval; t += 500) {
    const size_t before = server_->requests().size();
    clock_.Advance(500);
    Drain();
    most = std::max(most, server_->requests().size() - before);
  }
  // Who is due at the very first instant is due again at the last.
  EXPECT_THAT(server_->requests().size(), AllOf(Ge(64u), Le(66u)));
  EXPECT_LT(most, 12u);
}

TEST_F(ScrapeManagerTest, ThreadsDoTheSame) {
  options_.background = true;
  options_.clock = Clock::System();
  Restart();
  ScrapeConfig config = Job();
  config.scrape_interval_ms = 50;
  config.scrape_timeout_ms = 50;
  Apply({config});
  for (int i = 0; i < 500 && manager_->Stats().scrapes < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (int i = 0; i < 20; ++i) {
    config.scrape_timeout_ms = 40 + i % 2;
    Apply({config});
    manager_->Targets();
  }
  manager_->Stop();
  manager_->Stop();
  EXPECT_GE(manager_->Stats().scrapes, 5);
  EXPECT_THAT(Values("up"), HasSubstr("1 1"));
}

}  // namespace
}  // namespace varve
