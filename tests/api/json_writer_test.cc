#include "api/json_writer.h"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "storage/sample.h"

namespace varve {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::string Value(double v) {
  std::string out;
  AppendSampleValue(&out, v);
  return out;
}

std::string Time(int64_t ms) {
  std::string out;
  AppendSampleTime(&out, ms);
  return out;
}

std::string Text(std::string_view text) {
  std::string out;
  AppendJsonString(&out, text);
  return out;
}

std::string LabelText(std::string_view text) {
  std::string out;
  AppendJsonLabelText(&out, text);
  return out;
}

std::string Json(const FloatHistogram& h) {
  std::string out;
  AppendJsonHistogram(&out, h);
  return out;
}

// Every expected text here was given by Prometheus 3.5.
TEST(SampleValue, DigitsOfPrometheus) {
  EXPECT_EQ(Value(0), "0");
  EXPECT_EQ(Value(-0.0), "-0");
  EXPECT_EQ(Value(100), "100");
  EXPECT_EQ(Value(0.1), "0.1");
  EXPECT_EQ(Value(1.5), "1.5");
  EXPECT_EQ(Value(123456.789), "123456.789");
  EXPECT_EQ(Value(-1e-6), "-0.000001");
  EXPECT_EQ(Value(9.9e-7), "9.9e-07");
  EXPECT_EQ(Value(0.000037898492800094116), "0.000037898492800094116");
  EXPECT_EQ(Value(1e20), "100000000000000000000");
  EXPECT_EQ(Value(123456789012345678901.0), "123456789012345680000");
  EXPECT_EQ(Value(1e21), "1e+21");
  EXPECT_EQ(Value(1234567890123456789012.0), "1.2345678901234568e+21");
  EXPECT_EQ(Value(9007199254740992.0), "9007199254740992");
  EXPECT_EQ(Value(-9007199254740992.0), "-9007199254740992");
  EXPECT_EQ(Value(9223372036854775808.0), "9223372036854776000");
  EXPECT_EQ(Value(5e-324), "5e-324");
  EXPECT_EQ(Value(std::numeric_limits<double>::max()),
            "1.7976931348623157e+308");
  EXPECT_EQ(Value(kInf), "+Inf");
  EXPECT_EQ(Value(-kInf), "-Inf");
  EXPECT_EQ(Value(std::nan("")), "NaN");
  EXPECT_EQ(Value(StaleNan()), "NaN");
}

TEST(ScalarValue, NeverHasAnExponent) {
  const auto scalar = [](double v) {
    std::string out;
    AppendScalarValue(&out, v);
    return out;
  };
  EXPECT_EQ(scalar(1e21), "1000000000000000000000");
  EXPECT_EQ(scalar(-1.5e22), "-15000000000000000000000");
  EXPECT_EQ(scalar(1e-7), "0.0000001");
  EXPECT_EQ(scalar(-0.0), "-0");
  EXPECT_EQ(scalar(0.1), "0.1");
  EXPECT_EQ(scalar(kInf), "+Inf");
  EXPECT_EQ(scalar(std::nan("")), "NaN");
  EXPECT_EQ(scalar(5e-324).size(), 326u);
}

// The slow obvious twin: the shortest scientific digits, laid out by hand.
std::string SlowValue(double v) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + 40, std::fabs(v),
                                 std::chars_format::scientific)
                       .ptr;
  const std::string text(buffer, end);
  const std::string sign = std::signbit(v) ? "-" : "";
  const double a = std::fabs(v);
  if (a != 0 && (a < 1e-6 || a >= 1e21)) return sign + text;
  const size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c != '.') digits.push_back(c);
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') +
           digits;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return sign + digits + std::string(whole - digits.size(), '0');
  }
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

TEST(SampleValue, EqualsTheSlowTwin) {
  const char* given = std::getenv("VARVE_TEST_SEED");
  const auto seed = given ? std::strtoull(given, nullptr, 10) : 20261123u;
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("VARVE_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200000; ++i) {
    const uint64_t bits = random();
    double v = std::bit_cast<double>(bits);
    switch (i % 5) {
      case 0:
        v = static_cast<double>(static_cast<int64_t>(bits) >> (bits % 60));
        break;
      case 1:
        v = static_cast<double>(static_cast<int32_t>(bits)) / 1000;
        break;
      case 2:
        v = static_cast<double>(static_cast<int32_t>(bits)) / 1e6;
        break;
      case 3:
        v = static_cast<double>(bits >> 11) * 0x1p-53;
        break;
      default:
        break;
    }
    if (!std::isfinite(v)) continue;
    ASSERT_EQ(Value(v), SlowValue(v)) << "bits " << std::bit_cast<uint64_t>(v);
    ASSERT_EQ(std::strtod(Value(v).c_str(), nullptr), v);
  }
}

TEST(SampleTime, Seconds) {
  EXPECT_EQ(Time(0), "0");
  EXPECT_EQ(Time(1000), "1");
  EXPECT_EQ(Time(1500), "1.500");
  EXPECT_EQ(Time(1234), "1.234");
  EXPECT_EQ(Time(1001), "1.001");
  EXPECT_EQ(Time(-1), "-0.001");
  EXPECT_EQ(Time(-1050), "-1.050");
  EXPECT_EQ(Time(1795447797152), "1795447797.152");
  EXPECT_EQ(Time(std::numeric_limits<int64_t>::min()), "-9223372036854775.808");
}

TEST(JsonString, EscapesAsTheApi) {
  EXPECT_EQ(Text("plain"), "\"plain\"");
  EXPECT_EQ(Text("<&>\xe2\x80\xa8\x01\n\t\"\\\xc3\xa9\x7f\xe2\x80\xa9/\b\f\r"),
            "\"\\u003c\\u0026\\u003e\\u2028\\u0001\\n\\t\\\"\\\\\xc3\xa9\x7f"
            "\\u2029/\\b\\f\\r\"");
  EXPECT_EQ(Text("a\xff\xc3"), "\"a\\ufffd\\ufffd\"");
  EXPECT_EQ(Text("\xf0\x9f\x8c\x8a"), "\"\xf0\x9f\x8c\x8a\"");
}

TEST(JsonString, LabelsAreEscapedLess) {
  EXPECT_EQ(LabelText("<&>\xe2\x80\xa8\x01\n\t\"\\\xc3\xa9\x7f/\b\f\r"),
            "\"<&>\xe2\x80\xa8\\u0001\\n\\t\\\"\\\\\xc3\xa9\x7f/\\u0008\\u000c"
            "\\r\"");
  std::string out;
  AppendJsonLabels(&out, Labels{{"a", "x\"y"}, {"__name__", "m"}});
  EXPECT_EQ(out, R"({"__name__":"m","a":"x\"y"})");
  out.clear();
  AppendJsonLabels(&out, Labels());
  EXPECT_EQ(out, "{}");
}

TEST(JsonHistogram, AllKindsOfBuckets) {
  FloatHistogram h;
  h.schema = 1;
  h.count = 12;
  h.sum = -3.5;
  h.zero_threshold = 0.001;
  h.zero_count = 2;
  h.positive_spans = {{0, 2}, {1, 1}};
  h.positive_buckets = {1, 0, 4};
  h.negative_spans = {{1, 2}};
  h.negative_buckets = {3, 2};
  EXPECT_EQ(Json(h), R"({"count":"12","sum":"-3.5","buckets":[)"
                     R"([1,"-2","-1.414213562373095","2"],)"
                     R"([1,"-1.414213562373095","-1","3"],)"
                     R"([3,"-0.001","0.001","2"],)"
                     R"([0,"0.7071067811865475","1","1"],)"
                     R"([0,"2","2.82842712474619","4"]]})");
}

TEST(JsonHistogram, BucketsEndAtTheZeroBucket) {
  FloatHistogram h;
  h.zero_threshold = 1.5;
  h.count = 2;
  h.positive_spans = h.negative_spans = {{1, 1}};
  h.positive_buckets = h.negative_buckets = {1};
  const std::string text = Json(h);
  EXPECT_NE(text.find(R"([0,"1.5","2","1"])"), std::string::npos) << text;
  EXPECT_NE(text.find(R"([1,"-2","-1.5","1"])"), std::string::npos) << text;
}

TEST(JsonHistogram, EmptyAndCustom) {
  FloatHistogram h;
  EXPECT_EQ(Json(h), R"({"count":"0","sum":"0"})");
  h.schema = kCustomBucketsSchema;
  h.count = 6;
  h.sum = 7;
  h.custom_values = {0.5, 1};
  h.positive_spans = {{0, 3}};
  h.positive_buckets = {1, 2, 3};
  EXPECT_EQ(Json(h),
            R"({"count":"6","sum":"7","buckets":[[3,"-Inf","0.5","1"],)"
            R"([0,"0.5","1","2"],[0,"1","+Inf","3"]]})");
}

TEST(JsonHistogram, BoundsOfPrometheusAtTheEdges) {
  FloatHistogram h;
  h.count = 1;
  h.schema = -4;
  h.positive_spans = {{64, 1}};
  h.positive_buckets = {1};
  EXPECT_EQ(Json(h),
            R"({"count":"1","sum":"0","buckets":[[0,)"
            R"("2.7430620343968443e+303","1.7976931348623157e+308","1"]]})");
}

TEST(JsonTime, Rfc3339) {
  std::string out;
  AppendJsonTime(&out, 1795447736984874085);
  AppendJsonTime(&out, 1795447736120000000);
  AppendJsonTime(&out, 951782400000000000);
  AppendJsonTime(&out, -1);
  EXPECT_EQ(out,
            "\"2026-11-23T15:28:56.984874085Z\"\"2026-11-23T15:28:56.12Z\""
            "\"2000-02-29T00:00:00Z\"\"1969-12-31T23:59:59.999999999Z\"");
}

TEST(JsonWriter, PutsCommas) {
  std::string out;
  JsonWriter w(&out);
  w.BeginObject().Field("a", int64_t{1}).Key("b").BeginArray();
  w.String("x").Null().Bool(true).Number(1e-9).BeginObject().EndObject();
  w.EndArray().Key("c").Value(Labels{{"l", "v"}}).Field("d", "<").EndObject();
  EXPECT_EQ(out, R"({"a":1,"b":["x",null,true,1e-9,{}],"c":{"l":"v"},)"
                 R"("d":"\u003c"})");
}

}  // namespace
}  // namespace varve
