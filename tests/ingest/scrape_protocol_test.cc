#include "ingest/scrape_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/status_macros.h"

namespace varve {
namespace {

using ::testing::HasSubstr;

TEST(ScrapeProtocolTest, NamesRoundTrip) {
  for (const char* name :
       {"OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0",
        "PrometheusText0.0.4", "PrometheusProto"}) {
    auto protocol = ScrapeProtocolFromName(name);
    ASSERT_TRUE(protocol.has_value()) << name;
    EXPECT_EQ(ScrapeProtocolName(*protocol), name);
  }
  EXPECT_FALSE(ScrapeProtocolFromName("PrometheusText0.0.5").has_value());
}

TEST(ScrapeProtocolTest, AcceptHeaderIsThatOfPrometheus3) {
  EXPECT_EQ(AcceptHeader(DefaultScrapeProtocols()),
            "application/openmetrics-text;version=1.0.0;"
            "escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2");
  const ScrapeProtocol one[] = {ScrapeProtocol::kPrometheusText1_0_0};
  EXPECT_EQ(AcceptHeader(one, /*allow_utf8=*/false),
            "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5");
}

TEST(ScrapeProtocolTest, ContentTypeChoosesTheGrammar) {
  auto choose = [](std::string_view type) {
    return ChooseFormat(type, std::nullopt)->format;
  };
  EXPECT_EQ(choose("text/plain"), TextFormat::kPrometheus);
  EXPECT_EQ(choose("Text/Plain; version=0.0.4; charset=utf-8"),
            TextFormat::kPrometheus);
  EXPECT_EQ(choose(" application/openmetrics-text ;version=1.0.0"),
            TextFormat::kOpenMetrics);
}

TEST(ScrapeProtocolTest, WithoutAUsableContentTypeTheFallbackDecides) {
  for (const char* type :
       {"", "text/html", "application/vnd.google.protobuf", "text/plainly"}) {
    EXPECT_THAT(Message(ChooseFormat(type, std::nullopt).status()),
                HasSubstr("no fallback_scrape_protocol"))
        << type;
    auto chosen = ChooseFormat(type, ScrapeProtocol::kOpenMetricsText0_0_1);
    ASSERT_TRUE(chosen.ok()) << type;
    EXPECT_EQ(chosen->format, TextFormat::kOpenMetrics);
    EXPECT_THAT(chosen->warning, HasSubstr("OpenMetricsText0.0.1"));
  }
  EXPECT_THAT(
      Message(ChooseFormat("", ScrapeProtocol::kPrometheusProto).status()),
      HasSubstr("cannot read"));
}

}  // namespace
}  // namespace varve
