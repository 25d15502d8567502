#include "ingest/go_float.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "storage/sample.h"

namespace varve {
namespace {

double Parse(std::string_view text) {
  double value = -12345;
  EXPECT_TRUE(ParseExpositionFloat(text, &value)) << text;
  return value;
}

TEST(GoFloatTest, ReadsNumbers) {
  EXPECT_EQ(Parse("0"), 0.0);
  EXPECT_TRUE(std::signbit(Parse("-0")));
  EXPECT_EQ(Parse("+1"), 1.0);
  EXPECT_EQ(Parse(".5"), 0.5);
  EXPECT_EQ(Parse("-5."), -5.0);
  EXPECT_EQ(Parse("1E+3"), 1000.0);
  EXPECT_EQ(Parse("999999999999999"), 999999999999999.0);
  EXPECT_EQ(Parse("9007199254740993"), 9007199254740992.0);
  EXPECT_EQ(Parse("7.424100000000001e-05"), 7.424100000000001e-05);
  EXPECT_EQ(Parse("1.7976931348623157e308"),
            std::numeric_limits<double>::max());
  EXPECT_EQ(Parse("5e-324"), 5e-324);
  EXPECT_EQ(Parse("1e-400"), 0.0);
  EXPECT_TRUE(std::signbit(Parse("-1e-400")));
}

TEST(GoFloatTest, ReadsWords) {
  EXPECT_EQ(Parse("inf"), HUGE_VAL);
  EXPECT_EQ(Parse("-iNfInItY"), -HUGE_VAL);
  EXPECT_EQ(std::bit_cast<uint64_t>(Parse("NaN")), kNormalNanBits);
  EXPECT_EQ(std::bit_cast<uint64_t>(Parse("nan")), kNormalNanBits);
}

TEST(GoFloatTest, RefusesTheRest) {
  for (const char* text :
       {"",      "+",      "-",    ".",       "e5",    "1e",   "1e+",
        "--1",   "+-1",    "1 ",   " 1",      "1_0",   "0x10", "0x1p4",
        "1e400", "-1e400", "infi", "infinit", "+nan",  "-nan", "nan(1)",
        "nano",  "1,5",    "1f",   "true",    "1.2.3", "+ 1"}) {
    double value;
    EXPECT_FALSE(ParseExpositionFloat(text, &value)) << text;
  }
}

TEST(GoFloatTest, WritesAsOpenMetricsWants) {
  EXPECT_EQ(FormatOpenMetricsFloat(1), "1.0");
  EXPECT_EQ(FormatOpenMetricsFloat(-0.0), "0.0");
  EXPECT_EQ(FormatOpenMetricsFloat(0.5), "0.5");
  EXPECT_EQ(FormatOpenMetricsFloat(-1), "-1.0");
  EXPECT_EQ(FormatOpenMetricsFloat(100000), "100000.0");
  EXPECT_EQ(FormatOpenMetricsFloat(1e6), "1e+06");
  EXPECT_EQ(FormatOpenMetricsFloat(1234567), "1.234567e+06");
  EXPECT_EQ(FormatOpenMetricsFloat(0.0001), "0.0001");
  EXPECT_EQ(FormatOpenMetricsFloat(1e-5), "1e-05");
  EXPECT_EQ(FormatOpenMetricsFloat(1e100), "1e+100");
  EXPECT_EQ(FormatOpenMetricsFloat(HUGE_VAL), "+Inf");
  EXPECT_EQ(FormatOpenMetricsFloat(-HUGE_VAL), "-Inf");
  EXPECT_EQ(FormatOpenMetricsFloat(std::nan("")), "NaN");
}

}  // namespace
}  // namespace varve
