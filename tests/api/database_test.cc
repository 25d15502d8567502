#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "api/varve.h"
#include "tests/support/test_directory.h"
#include "tests/support/write_message.h"

namespace varve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() {
    options_.directory = path_ / "data";
    options_.background = false;
    now_ms_ = options_.clock->NowMs() / 1000 * 1000;
  }

  void Open() {
    db_.reset();
    auto db = Database::Open(options_);
    ASSERT_TRUE(db.ok()) << Message(db.status());
    db_ = *std::move(db);
  }
  void WriteConfig(const std::string& text) {
    options_.config_file = path_ / "c.yml";
    std::ofstream(options_.config_file) << text;
  }
  double Value(std::string_view query) {
    const auto result = db_->Query(query, now_ms_);
    EXPECT_TRUE(result.ok()) << Message(result.status());
    if (!result.ok() || result->series.size() != 1) return -1;
    return result->series[0].floats.at(0).value;
  }

  TestDirectory directory_;
  const std::filesystem::path path_ = directory_.path();
  DatabaseOptions options_;
  int64_t now_ms_ = 0;
  std::unique_ptr<Database> db_;
};

TEST_F(DatabaseTest, KeepsWhatWasAppended) {
  Open();
  EXPECT_TRUE(db_->Append({{"__name__", "m"}, {"a", "1"}}, now_ms_, 5).ok());
  EXPECT_EQ(Value("m"), 5);
  EXPECT_TRUE(db_->Close().ok());
  EXPECT_TRUE(db_->Close().ok());
  Open();
  EXPECT_EQ(Value("m{a='1'} * 2"), 10);
}

TEST_F(DatabaseTest, RejectedSamplesAreNamed) {
  Open();
  ASSERT_TRUE(db_->Append({{"__name__", "m"}}, now_ms_, 5).ok());
  EXPECT_TRUE(db_->Append({{"__name__", "m"}}, now_ms_, 5).ok());
  const absl::Status again = db_->Append({{"__name__", "m"}}, now_ms_, 6);
  EXPECT_THAT(std::string(Message(again)), HasSubstr("sample of m at "));
  const absl::Status ahead =
      db_->Append({{"__name__", "m"}}, now_ms_ + 3600'000, 6);
  EXPECT_EQ(ahead.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(Message(db_->Append({{"a", "b"}}, now_ms_, 1))),
              HasSubstr("no metric name"));
  EXPECT_THAT(std::string(Message(
                  db_->Append({{"__name__", "m"}, {"a", "\xff"}}, now_ms_, 1))),
              HasSubstr("not valid UTF-8"));
}

TEST_F(DatabaseTest, AWriterTakesAllKindsTogether) {
  Open();
  const auto writer = db_->NewWriter();
  IntHistogram h;
  h.count = 3;
  h.sum = 4.5;
  h.positive_spans = {{0, 1}};
  h.positive_buckets = {3};
  writer->Add({{"__name__", "m"}, {"a", "1"}}, now_ms_, 1);
  writer->Add({{"__name__", "m"}, {"a", "2"}}, now_ms_, 2);
  writer->AddHistogram({{"__name__", "h"}}, now_ms_, h);
  writer->AddExemplar({{"__name__", "m"}, {"a", "1"}},
                      {{{"trace", "x"}}, 7, now_ms_});
  writer->AddMetadata("m", {"gauge", "s", "help"});
  EXPECT_EQ(db_->Stats().head_series, 0);  // nothing is held before Commit
  const auto result = writer->Commit();
  ASSERT_TRUE(result.ok()) << Message(result.status());
  EXPECT_EQ(result->samples_stored, 2);
  EXPECT_EQ(result->histograms_stored, 1);
  EXPECT_EQ(result->exemplars_stored, 1);
  EXPECT_EQ(Value("sum(m)"), 3);
  const auto histogram = db_->Query("h", now_ms_);
  ASSERT_TRUE(histogram.ok());
  EXPECT_EQ(histogram->series.at(0).histograms.at(0).histogram->sum, 4.5);
  const auto exemplars = db_->Exemplars("rate(m[5m])", 0, now_ms_);
  ASSERT_TRUE(exemplars.ok());
  ASSERT_EQ(exemplars->size(), 1u);
  EXPECT_EQ(exemplars->at(0).exemplars.at(0).value, 7);
  const auto metadata = db_->FamilyMetadata();
  ASSERT_EQ(metadata.size(), 1u);
  EXPECT_EQ(metadata[0].second.help, "help");
  EXPECT_TRUE(writer->Commit().ok());  // empty and usable again
}

TEST_F(DatabaseTest, Listings) {
  Open();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(db_->Append({{"__name__", i % 2 ? "odd" : "even"},
                             {"i", std::to_string(i)}},
                            now_ms_, i)
                    .ok());
  }
  ListingRange range;
  range.start_ms = now_ms_ - 1000;
  range.end_ms = now_ms_;
  const auto context = db_->NewQueryContext();
  EXPECT_THAT(db_->LabelNames(*context, range)->items,
              ElementsAre("__name__", "i"));
  EXPECT_THAT(db_->LabelValues(*context, "__name__", range)->items,
              ElementsAre("even", "odd"));
  range.selectors = {*ParseSelector("odd"), *ParseSelector("{i=~'1|2'}")};
  const auto series = db_->Series(*context, range);
  ASSERT_TRUE(series.ok());
  EXPECT_THAT(series->items,
              ElementsAre(Labels{{"__name__", "even"}, {"i", "2"}},
                          Labels{{"__name__", "odd"}, {"i", "1"}},
                          Labels{{"__name__", "odd"}, {"i", "3"}}));
  EXPECT_FALSE(series->truncated);
  range.limit = 2;
  EXPECT_TRUE(db_->Series(*context, range)->truncated);
  EXPECT_EQ(db_->Series(*context, range)->items.size(), 2u);
  EXPECT_TRUE(db_->LabelValues(*context, "i", range)->truncated);
  range.end_ms = range.start_ms - 1;
  EXPECT_TRUE(db_->Series(*context, range)->items.empty());
  context->Cancel();
  range.end_ms = now_ms_;
  EXPECT_FALSE(db_->Series(*context, range).ok());
}

TEST_F(DatabaseTest, BudgetsAndCancellation) {
  options_.query_samples_max = 10;
  Open();
  const auto writer = db_->NewWriter();
  for (int i = 0; i < 100; ++i) {
    writer->Add({{"__name__", "m"}}, now_ms_ - i * 1000, i);
  }
  ASSERT_TRUE(writer->Commit().ok());
  EXPECT_EQ(db_->Query("sum_over_time(m[5m])", now_ms_).status().code(),
            absl::StatusCode::kResourceExhausted);
  const auto context = db_->NewQueryContext();
  context->Cancel();
  EXPECT_EQ(db_->Query(*context, "m", now_ms_).status().code(),
            absl::StatusCode::kCancelled);
  const auto late = db_->NewQueryContext(-1);
  EXPECT_EQ(db_->Query(*late, "m", now_ms_).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(DatabaseTest, RemoteWrite) {
  Open();
  RemoteWriteAnswer answer = db_->RemoteWrite("x", "text/plain", "");
  EXPECT_EQ(answer.status, 415);
  answer = db_->RemoteWrite("x", "application/x-protobuf", "snappy");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(db_->RemoteWrites().requests_failed, 2);
  EXPECT_TRUE(answer.headers.empty());
  // A sender of 2.0 is told what was stored, also when nothing was.
  answer = db_->RemoteWrite(
      "x", "application/x-protobuf;proto=io.prometheus.write.v2.Request", "");
  EXPECT_EQ(answer.status, 400);
  ASSERT_EQ(answer.headers.size(), 3u);
  EXPECT_EQ(answer.headers[0].first,
            "X-Prometheus-Remote-Write-Samples-Written");
  EXPECT_EQ(answer.headers[0].second, "0");
}

TEST_F(DatabaseTest, ReloadKeepsTheOldConfigurationOnErrors) {
  WriteConfig("global: {external_labels: {site: a}}\n");
  Open();
  EXPECT_THAT(db_->Config().yaml, HasSubstr("site: a"));
  WriteConfig("global: {external_labels: {site: b}}\n");
  EXPECT_TRUE(db_->Reload().ok());
  EXPECT_THAT(db_->Config().yaml, HasSubstr("site: b"));
  WriteConfig("globl: {}\n");
  EXPECT_EQ(db_->Reload().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(db_->Config().yaml, HasSubstr("site: b"));
  EXPECT_FALSE(db_->Config().last_reload_ok);
  EXPECT_THAT(db_->Config().last_error, HasSubstr("globl"));
  WriteConfig("");
  EXPECT_TRUE(db_->Reload().ok());
  EXPECT_TRUE(db_->Config().last_reload_ok);
}

TEST_F(DatabaseTest, ABadConfigurationTouchesNothing) {
  WriteConfig("globl: {}\n");
  const auto db = Database::Open(options_);
  EXPECT_EQ(db.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(options_.directory));
}

TEST_F(DatabaseTest, OnlyOneMayOpen) {
  Open();
  EXPECT_EQ(Database::Open(options_).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(QueryText, FormatsAndParses) {
  EXPECT_EQ(*FormatQuery("sum( a)by(b)"), "sum by (b) (a)");
  EXPECT_FALSE(FormatQuery("a{").ok());
  EXPECT_EQ(ParseSelector("a{b='c'}")->size(), 2u);
}

}  // namespace
}  // namespace varve
