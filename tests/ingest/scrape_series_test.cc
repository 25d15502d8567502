#include "ingest/scrape_series.h"

#include <gtest/gtest.h>

#include "storage/status_macros.h"
#include "tests/support/fake_appender.h"

namespace varve {
namespace {

// A target that is scraped every 15 s into a map.
class ScrapeSeriesTest : public testing::Test {
 protected:
  SampleRules rules_{.target_labels = Labels{{"job", "j"}, {"instance", "i"}}};
  FakeStore store_;
  std::unique_ptr<ScrapeSeries> series_;
  ScrapeCounts counts_;
  int64_t now_ = 0;
  uint64_t limit_ = 0;

  // The error, or "".
  std::string Scrape(std::string_view body,
                     TextFormat format = TextFormat::kPrometheus) {
    if (series_ == nullptr) series_ = std::make_unique<ScrapeSeries>(rules_);
    now_ += 15000;
    counts_ = {};
    const auto appender = store_.BeginAppend();
    const absl::Status status =
        series_->Append(body, format, now_, limit_, appender.get(), &counts_);
    if (!status.ok()) {
      EXPECT_EQ(appender->batch().size(), 0u);
      EXPECT_TRUE(series_->AppendEmpty(now_, appender.get()).ok());
    }
    EXPECT_TRUE(appender->Commit().ok());
    return std::string(Message(status));
  }

  void Fail() {
    now_ += 15000;
    const auto appender = store_.BeginAppend();
    EXPECT_TRUE(series_->AppendEmpty(now_, appender.get()).ok());
    EXPECT_TRUE(appender->Commit().ok());
  }

  // The samples as "15:1 30:stale" (seconds), or "none".
  std::string Samples(const Labels& labels) const {
    const FakeStore::Series* series = store_.Find(labels);
    if (series == nullptr) return "none";
    std::string out;
    for (const auto& [t, v] : series->floats) {
      out += out.empty() ? "" : " ";
      out += fmt::format("{}:", t / 1000);
      out += IsStaleNan(v) ? "stale" : fmt::to_string(v);
    }
    return out;
  }
  // Of a series with the target's labels.
  std::string Samples(std::string_view metric) const {
    return Samples(
        Labels{{"__name__", metric}, {"job", "j"}, {"instance", "i"}});
  }
};

TEST_F(ScrapeSeriesTest, StoresSamplesWithTheTargetsLabels) {
  EXPECT_EQ(Scrape("a 1\nb{x=\"y\"} 2\n"), "");
  EXPECT_EQ(Samples("a"), "15:1");
  EXPECT_EQ(
      Samples(Labels{
          {"__name__", "b"}, {"job", "j"}, {"instance", "i"}, {"x", "y"}}),
      "15:2");
  EXPECT_EQ(counts_.scraped, 2);
  EXPECT_EQ(counts_.post_relabel, 2);
  EXPECT_EQ(counts_.series_added, 2);
}

TEST_F(ScrapeSeriesTest, AKnownSeriesIsNotResolvedAgain) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Scrape("a 1\nb 2\nc 3\n"), "");
  EXPECT_EQ(store_.resolves, 3);
  EXPECT_EQ(counts_.series_added, 0);
  EXPECT_EQ(Scrape("c 3\na 1\nb 2\n"), "");  // another order
  EXPECT_EQ(store_.resolves, 3);
  EXPECT_EQ(Samples("c"), "15:3 30:3 45:3 60:3 75:3 90:3");
}

TEST_F(ScrapeSeriesTest, CollectedSeriesAreResolvedAgain) {
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  store_.Collect();
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_EQ(store_.resolves, 4);
  EXPECT_EQ(counts_.series_added, 0);
  EXPECT_EQ(Samples("b"), "30:2");
  // A series that vanishes while refs change still gets its marker.
  store_.Collect();
  EXPECT_EQ(Scrape("a 1\n"), "");
  EXPECT_EQ(Samples("b"), "45:stale");
}

TEST_F(ScrapeSeriesTest, ASeriesThatVanishesIsMarkedOnce) {
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_EQ(Scrape("a 1\n"), "");
  EXPECT_EQ(Scrape("a 1\n"), "");
  EXPECT_EQ(Samples("b"), "15:2 30:stale");
  EXPECT_EQ(Scrape("a 1\nb 3\n"), "");
  EXPECT_EQ(counts_.series_added, 1);
  EXPECT_EQ(Samples("b"), "15:2 30:stale 60:3");
  EXPECT_EQ(series_->size(), 2u);
}

TEST_F(ScrapeSeriesTest, AFailedScrapeMarksAllOnce) {
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  Fail();
  Fail();
  EXPECT_EQ(Samples("a"), "15:1 30:stale");
  EXPECT_EQ(Samples("b"), "15:2 30:stale");
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_EQ(Samples("a"), "15:1 30:stale 60:1");
  EXPECT_EQ(counts_.series_added, 0);
}

TEST_F(ScrapeSeriesTest, ABrokenBodyStoresNothingAndCreatesNothing) {
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_NE(Scrape("a 1\nnew 5\nb{ 2\n"), "");
  EXPECT_EQ(Samples("a"), "15:1 30:stale");
  EXPECT_EQ(Samples("b"), "15:2 30:stale");
  EXPECT_EQ(Samples("new"), "none");
  EXPECT_EQ(counts_.scraped, 2);
  EXPECT_EQ(Scrape("a 1\nnew 5\n"), "");
  EXPECT_EQ(Samples("a"), "15:1 30:stale 45:1");
  EXPECT_EQ(Samples("new"), "45:5");
  EXPECT_EQ(Samples("b"), "15:2 30:stale");
}

TEST_F(ScrapeSeriesTest, TwoTextsOfOneSeriesAreOneSeries) {
  EXPECT_EQ(Scrape("a{x=\"1\",y=\"2\"} 1\n"), "");
  EXPECT_EQ(Scrape("a{y=\"2\",x=\"1\"} 2\n"), "");
  EXPECT_EQ(Samples(Labels{{"__name__", "a"},
                           {"instance", "i"},
                           {"job", "j"},
                           {"x", "1"},
                           {"y", "2"}}),
            "15:1 30:2");
}

TEST_F(ScrapeSeriesTest, OfDuplicatesTheFirstWins) {
  EXPECT_EQ(Scrape("a 1\na 2\nb 3\n"), "");
  EXPECT_EQ(Scrape("a 1\na 2\nb 3\n"), "");
  EXPECT_EQ(Samples("a"), "15:1 30:1");
  EXPECT_EQ(counts_.scraped, 3);
  EXPECT_EQ(counts_.post_relabel, 3);
}

TEST_F(ScrapeSeriesTest, ExplicitTimesAreHonouredAndNotTracked) {
  EXPECT_EQ(Scrape("a 1 5000\na 2 6000\nb 3\n"), "");
  EXPECT_EQ(Samples("a"), "5:1 6:2");
  EXPECT_EQ(Scrape("b 3\n"), "");
  EXPECT_EQ(Samples("a"), "5:1 6:2");

  rules_.track_timestamps_staleness = true;
  series_ = nullptr;
  EXPECT_EQ(Scrape("a 1 7000\n"), "");
  EXPECT_EQ(Scrape("b 3\n"), "");
  EXPECT_EQ(Samples("a"), "5:1 6:2 7:1 60:stale");

  rules_.honor_timestamps = false;
  series_ = nullptr;
  EXPECT_EQ(Scrape("c 1 5000\n"), "");
  EXPECT_EQ(Samples("c"), "75:1");
}

TEST_F(ScrapeSeriesTest, LabelConflicts) {
  const Labels target{{"instance", "i"}, {"job", "j"}};
  EXPECT_EQ(
      JoinTargetLabels(Labels{{"__name__", "a"}, {"job", "x"}}, target, false)
          .ToString(),
      R"(a{exported_job="x", instance="i", job="j"})");
  EXPECT_EQ(
      JoinTargetLabels(Labels{{"exported_job", "y"}, {"job", "x"}}, target,
                       false)
          .ToString(),
      R"({exported_exported_job="x", exported_job="y", instance="i", job="j"})");
  EXPECT_EQ(JoinTargetLabels(Labels{{"job", "x"}}, target, true).ToString(),
            R"({instance="i", job="x"})");
  // The target's labels conflict in a chain: the shorter name moves first.
  EXPECT_EQ(
      JoinTargetLabels(Labels{{"a", "1"}, {"exported_a", "2"}},
                       Labels{{"a", "3"}, {"exported_a", "4"}}, false)
          .ToString(),
      R"({a="3", exported_a="4", exported_exported_a="1", exported_exported_exported_a="2"})");
}

TEST_F(ScrapeSeriesTest, AnEmptyHonouredLabelTakesTheTargetsAway) {
  rules_.honor_labels = true;
  EXPECT_EQ(Scrape("a{instance=\"\",x=\"job=\\\"\\\"\"} 1\n"), "");
  EXPECT_EQ(Samples(Labels{{"__name__", "a"}, {"job", "j"}, {"x", "job=\"\""}}),
            "15:1");
  const std::vector<std::string> none;
  EXPECT_EQ(EmptyLabelNames("a"), none);
  EXPECT_EQ(EmptyLabelNames("a{b=\"c\",d=\"e\"}"), none);
  EXPECT_EQ(EmptyLabelNames("{\"a\" , b = \"\", \"c d\"=\"\",e=\"\\\"\"}"),
            (std::vector<std::string>{"b", "c d"}));
  EXPECT_EQ(EmptyLabelNames("a{b=\"\\"), none);
}

TEST_F(ScrapeSeriesTest, MetricRelabelDropsAndRewrites) {
  rules_.metric_relabel =
      *RelabelRules::Create({{.source_labels = {"__name__"},
                              .regex = "drop_.*",
                              .action = RelabelAction::kDrop},
                             {.source_labels = {"__name__"},
                              .regex = "a(.*)",
                              .target_label = "__name__",
                              .replacement = "b$1"}});
  EXPECT_EQ(Scrape("a1 1\ndrop_x 2\ndrop_y 3\n"), "");
  EXPECT_EQ(Scrape("a1 1\ndrop_x 2\ndrop_y 3\n"), "");
  EXPECT_EQ(counts_.scraped, 3);
  EXPECT_EQ(counts_.post_relabel, 1);
  EXPECT_EQ(Samples("b1"), "15:1 30:1");
  EXPECT_EQ(Samples("drop_x"), "none");
  EXPECT_EQ(store_.resolves, 1);
}

TEST_F(ScrapeSeriesTest, RelabelledAwayNameFailsTheScrape) {
  rules_.metric_relabel = *RelabelRules::Create(
      {{.regex = "__name__", .action = RelabelAction::kLabelDrop}});
  EXPECT_EQ(Scrape("a 1\n"), "missing metric name (__name__ label)");
}

TEST_F(ScrapeSeriesTest, TheSampleLimitFailsTheScrapeAndCreatesNothing) {
  limit_ = 2;
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_EQ(Scrape("a 1\nb 2\nc 3\nd 4\n"), "sample limit exceeded");
  EXPECT_EQ(counts_.scraped, 4);
  EXPECT_EQ(counts_.post_relabel, 4);
  EXPECT_TRUE(counts_.sample_limit_exceeded);
  EXPECT_EQ(store_.series_count(), 2u);
  EXPECT_EQ(Samples("a"), "15:1 30:stale");
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_EQ(Samples("a"), "15:1 30:stale 45:1");
}

TEST_F(ScrapeSeriesTest, LabelLimitsFailTheScrape) {
  rules_.label_limit = 3;
  EXPECT_EQ(Scrape("a{x=\"1\"} 1\n"),
            "label_limit exceeded (metric: a, number of labels: 4, limit: 3)");
  rules_.label_limit = 0;
  rules_.label_name_length_limit = 8;
  series_ = nullptr;
  EXPECT_EQ(Scrape("a{xxxxxxxxx=\"1\"} 1\n"),
            "label_name_length_limit exceeded (metric: a, label name: "
            "xxxxxxxxx, length: 9, limit: 8)");
  rules_.label_name_length_limit = 0;
  rules_.label_value_length_limit = 3;
  series_ = nullptr;
  EXPECT_EQ(Scrape("a{x=\"1234\"} 1\n"),
            "label_value_length_limit exceeded (metric: a, label name: x, "
            "value: \"1234\", length: 4, limit: 3)");
}

TEST_F(ScrapeSeriesTest, ATargetGoneWildDoesNotFillTheMemory) {
  EXPECT_EQ(Scrape("a 1\n"), "");
  for (int i = 0; i < 20; ++i) {
    std::string body;
    for (int k = 0; k < 500; ++k) body += fmt::format("m_{}_{} 1\n", i, k);
    EXPECT_NE(Scrape(body + "}\n"), "");
  }
  EXPECT_LE(series_->size(), 2000u);
  EXPECT_EQ(store_.series_count(), 1u);
}

TEST_F(ScrapeSeriesTest, MetadataIsWrittenWhenItChanges) {
  EXPECT_EQ(Scrape("# HELP a Helps.\n# TYPE a counter\na 1\n"), "");
  ASSERT_EQ(store_.metadata().count("a"), 1u);
  EXPECT_EQ(store_.metadata().at("a"), (Metadata{"counter", "", "Helps."}));
  const auto appender = store_.BeginAppend();
  EXPECT_TRUE(series_
                  ->Append("# HELP a Helps.\n# TYPE a counter\na 1\n",
                           TextFormat::kPrometheus, 99000, 0, appender.get(),
                           &counts_)
                  .ok());
  EXPECT_TRUE(appender->batch().metadata.empty());
  EXPECT_EQ(Scrape("# HELP a Other.\n# TYPE a gauge\na 1\n"), "");
  EXPECT_EQ(store_.metadata().at("a"), (Metadata{"gauge", "", "Other."}));
}

TEST_F(ScrapeSeriesTest, Exemplars) {
  EXPECT_EQ(Scrape("# TYPE a counter\na_total 1 # {id=\"x\"} 0.5 7\n"
                   "b_total 2 # {id=\"y\"} 0.6\n# EOF\n",
                   TextFormat::kOpenMetrics),
            "");
  const auto* a = store_.Find(
      Labels{{"__name__", "a_total"}, {"job", "j"}, {"instance", "i"}});
  ASSERT_NE(a, nullptr);
  ASSERT_EQ(a->exemplars.size(), 1u);
  EXPECT_EQ(a->exemplars[0].timestamp_ms, 7000);
  EXPECT_EQ(a->exemplars[0].labels.Get("id"), "x");
  const auto* b = store_.Find(
      Labels{{"__name__", "b_total"}, {"job", "j"}, {"instance", "i"}});
  ASSERT_EQ(b->exemplars.size(), 1u);
  EXPECT_EQ(b->exemplars[0].timestamp_ms, 15000);
}

TEST_F(ScrapeSeriesTest, ADatabaseThatRefusesSeriesFailsTheScrape) {
  EXPECT_EQ(Scrape("a 1\n"), "");
  store_.resolve_status = Unavailable("disk full");
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "disk full");
  store_.resolve_status = absl::OkStatus();
  EXPECT_EQ(Scrape("a 1\nb 2\n"), "");
  EXPECT_EQ(Samples("b"), "45:2");
}

}  // namespace
}  // namespace varve
