#include "ingest/duration.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

TEST(Duration, ReadsWhatPrometheusReads) {
  EXPECT_EQ(ParseDurationMs("0"), 0);
  EXPECT_EQ(ParseDurationMs("0s"), 0);
  EXPECT_EQ(ParseDurationMs("1h30m"), 5400000);
  EXPECT_EQ(ParseDurationMs("1y2w3d4h5m6s7ms"), 33019506007);
  EXPECT_EQ(ParseDurationMs("15s"), 15000);
  for (const char* bad : {"", "1", "s", "1m1h", "1s1s", "-1s", "1.5s", "1 s",
                          "1S", "293y", "99999999999999999999s", "ms", "1sm"}) {
    EXPECT_EQ(ParseDurationMs(bad), std::nullopt) << bad;
  }
}

TEST(Duration, PrintsAsPrometheus) {
  EXPECT_EQ(FormatDurationMs(0), "0s");
  EXPECT_EQ(FormatDurationMs(90000), "1m30s");
  EXPECT_EQ(FormatDurationMs(24 * 3600 * 1000), "1d");
  EXPECT_EQ(FormatDurationMs(25 * 3600 * 1000), "25h");
  EXPECT_EQ(FormatDurationMs(15250), "15s250ms");
}

TEST(ByteSize, CountsIn1024s) {
  EXPECT_EQ(ParseByteSize("0"), 0u);
  EXPECT_EQ(ParseByteSize("10B"), 10u);
  EXPECT_EQ(ParseByteSize("10MB"), 10u << 20);
  EXPECT_EQ(ParseByteSize("10MiB"), 10u << 20);
  EXPECT_EQ(ParseByteSize("1.5KB"), 1536u);
  for (const char* bad :
       {"", "10", "MB", "10XB", "10M", "-1B", "1e3B", "99EB"}) {
    EXPECT_EQ(ParseByteSize(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(FormatByteSize(10u << 20), "10MiB");
  EXPECT_EQ(FormatByteSize(1000), "1000B");
}

}  // namespace
}  // namespace varve
